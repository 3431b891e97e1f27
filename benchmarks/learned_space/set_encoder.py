"""The learned dataset encoder: a set network over the classes and samples of a sketch.

Deep sets (Zaheer et al. 2017, arXiv 1703.06114) of the samples and of the classes, with one round of
attention between the classes (Lee et al. 2019, arXiv 1810.00825): what a class is depends on which others
there are. Invariant to the order of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from snt_zoo.encoders.facts import FACTS, facts
from snt_zoo.encoders.projection import DIM
from snt_zoo.encoders.sketch import COVARIANCE_DIM, Sketch

CLASS_DIM = DIM + COVARIANCE_DIM + 3


@dataclass(frozen=True, eq=False)
class SketchBatch:
    """Sketches as tensors, padded.

    Args:
        classes: float32 ``b x K x CLASS_DIM``: mean, deviations, log frequency times K, size of the spread,
            distance to the nearest other class.
        there: which classes are no padding, bool ``b x K``.
        samples: float32 ``b x m x DIM``.
        drawn: which samples are no padding, bool ``b x m``.
        facts: float32 ``b x len(FACTS)``.
    """

    classes: Tensor
    there: Tensor
    samples: Tensor
    drawn: Tensor
    facts: Tensor

    @classmethod
    def of(cls, sketches: Sequence[Sketch]) -> SketchBatch:
        """Some sketches, at least one."""
        classes = nn.utils.rnn.pad_sequence([_class_rows(s) for s in sketches], batch_first=True)
        samples = nn.utils.rnn.pad_sequence([s.samples.float() for s in sketches], batch_first=True)
        sizes = torch.tensor([len(s.class_names) for s in sketches])
        counts = torch.tensor([len(s.samples) for s in sketches])
        return cls(
            classes,
            torch.arange(classes.shape[1])[None] < sizes[:, None],
            samples,
            torch.arange(samples.shape[1])[None] < counts[:, None],
            torch.stack([facts(s) for s in sketches]).float(),
        )

    def subset(self, rows: Tensor) -> SketchBatch:
        """Some of them."""
        return SketchBatch(
            self.classes[rows], self.there[rows], self.samples[rows], self.drawn[rows], self.facts[rows]
        )


def _class_rows(sketch: Sketch) -> Tensor:
    means = sketch.means.float()
    deviations = sketch.full_covariances().diagonal(dim1=1, dim2=2).clamp_min(0).sqrt()
    apart = torch.cdist(means, means)
    apart.fill_diagonal_(torch.inf)
    nearest = apart.min(1).values if len(means) > 1 else torch.ones(1)
    frequency = (sketch.frequencies * len(means)).log().float()
    spread = sketch.traces.sqrt().float()
    return torch.cat([means, deviations, torch.stack([frequency, spread, nearest], 1)], 1)


class SetEncoder(nn.Module):
    """Sketches to unit vectors.

    Args:
        dim: of the vectors.
        width: inside.
        samples: whether the sampled features count; an ablation.
        attention: whether classes see each other; likewise.
    """

    def __init__(
        self, dim: int = 48, width: int = 96, *, samples: bool = True, attention: bool = True
    ) -> None:
        super().__init__()
        self.of_class = nn.Sequential(nn.Linear(CLASS_DIM, width), nn.GELU(), nn.Linear(width, width))
        self.of_sample = (
            nn.Sequential(nn.Linear(DIM, width), nn.GELU(), nn.Linear(width, width)) if samples else None
        )
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True) if attention else None
        self.of_facts = nn.Linear(len(FACTS), width)
        self.out = nn.Sequential(
            nn.Linear((4 if samples else 3) * width, width), nn.GELU(), nn.Linear(width, dim)
        )
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(CLASS_DIM + DIM + len(FACTS)))
        self.register_buffer("scale", torch.ones(CLASS_DIM + DIM + len(FACTS)))

    @torch.no_grad()
    def standardise(self, batch: SketchBatch) -> None:
        """Measure the inputs' mean and deviation on the sketches that are trained on."""
        parts = [batch.classes[batch.there], batch.samples[batch.drawn], batch.facts]
        # Where there is none of a kind, as of samples, it is taken as it comes.
        self.centre.copy_(torch.cat([part.mean(0).nan_to_num(0.0) for part in parts]))
        deviations = [part.std(0, correction=0).nan_to_num(1.0) for part in parts]
        self.scale.copy_(torch.cat(deviations).clamp_min(1e-3))

    def scaled(self, batch: SketchBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Classes, samples and facts as the network takes them."""
        sizes = [CLASS_DIM, DIM, len(FACTS)]
        pairs = zip(torch.split(self.centre, sizes), torch.split(self.scale, sizes), strict=True)
        inputs = (batch.classes, batch.samples, batch.facts)
        classes, samples, known = (
            ((x - centre) / scale).clamp(-5, 5) for x, (centre, scale) in zip(inputs, pairs, strict=True)
        )
        return classes, samples, known

    def forward(self, batch: SketchBatch) -> Tensor:
        """``b`` sketches to ``b x dim``, of unit length."""
        classes, samples, known = self.scaled(batch)
        rows = self.of_class(classes)
        if self.attention is not None:
            seen, _ = self.attention(rows, rows, rows, key_padding_mask=~batch.there, need_weights=False)
            rows = rows + seen
        parts = [_mean(rows, batch.there), _largest(rows, batch.there), self.of_facts(known)]
        if self.of_sample is not None:
            parts.append(_mean(self.of_sample(samples), batch.drawn))
        return functional.normalize(self.out(torch.cat(parts, 1)), dim=1)


def _mean(rows: Tensor, there: Tensor) -> Tensor:
    weights = there.float()[..., None]
    return (rows * weights).sum(1) / weights.sum(1).clamp_min(1)


def _largest(rows: Tensor, there: Tensor) -> Tensor:
    return rows.masked_fill(~there[..., None], -torch.inf).amax(1)
