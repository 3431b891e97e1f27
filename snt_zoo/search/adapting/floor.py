"""The floor under a finetuned network: a linear probe on an ImageNet backbone, as a network of its own; and
the probe and the finetuned network together.

The probe costs a pass of the backbone over every image it looks at. So it begins with those that the sketch
has seen. Only where it has a chance it goes on to more, and a better backbone looks too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import get_backbone
from snt_zoo.encoders.looking import TIMED_SIZE, Looks, pace
from snt_zoo.encoders.probe import MAX_IMAGES, GrowingProbe, Probe
from snt_zoo.encoders.sketch import Sample
from snt_zoo.encoders.target import Target
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.distributed import Team
from snt_zoo.networks.ensemble import Ensemble, Pool, fit_pool, members
from snt_zoo.networks.evaluate import Model, count_parameters, evaluate, evaluate_together, logits
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.probe_network import network_size, parts_of, probe_network
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.run import Run

FLOOR_SHARE = 0.15
"""Of a budget in seconds: a probe that has taken so much of it looks at no more images."""

_MAX_VAL, _MIN_VAL = 1000, 100  # validation images that the probe is judged on; fewer where time is short
_UNFOLDED = 1.4  # times as long its network takes as the backbone: `snt_zoo.encoders.backbone`
_UNROUNDED = 2.0  # times as long in float32 as in the type that is quick: `snt_zoo.networks.device`
_VAL_SHARE = 0.5  # of the probe's time, at most, for these, as far as more than the least are looked at


@dataclass(frozen=True, eq=False)
class Choice:
    """What is handed back in place of the derived network.

    Args:
        returned: `"probe"` or `"ensemble"`, as of `FinetuneResult`.
        model: it.
        why: it is better; a clause.
        val: its validation accuracy by the features that the probe has seen; None where it is measured again,
            as in a run without a limit in time.
        ensemble: of an ensemble its facts, as of `FinetuneResult`.
    """

    returned: Literal["probe", "ensemble"]
    model: Model
    why: str
    val: float | None = None
    ensemble: dict[str, Any] | None = None


@dataclass(eq=False)
class Floor:
    """The probe in a run: fitted to the sketch's images first, to more once that can matter.

    Args:
        target: the task, with its images.
        seconds: what the probe may take; None for any time, for runs that must repeat.
        limits: on the network that is handed back.
        pace: seconds that an image of the sketch took; by it fewer validation images are looked at.
        seed: of the images that are drawn besides.
        timer: what counts seconds.
        others: the images of the sketch as other backbones see them, whose probes answer with the first.
        closer: names of better backbones, which look too once the probe looks at more images: as many as
            there is time for. All probes then answer together.
    """

    target: Target
    seconds: float | None = None
    pace: float = 0.0
    limits: Limits = field(default_factory=Limits)
    seed: int = 0
    timer: Callable[[], float] = time.perf_counter
    others: tuple[Sample, ...] = ()
    closer: Looks = ()

    def __post_init__(self) -> None:
        data, sample = self.target.data, self.target.sample
        assert data is not None and sample is not None
        self.data, self.first = data, len(sample.indices)
        most = _MAX_VAL
        if self.seconds is not None and self.pace > 0:
            most = max(_MIN_VAL, min(most, int(_VAL_SHARE * self.seconds / self.pace)))
        self._most = most
        self.each = [self._growing(one) for one in (sample, *self.others)]
        self.growing = self.each[0]
        self._probe: Probe | None = None
        self._seen: tuple[Tensor, float] | None = None
        self._fits: bool | None = None
        self._run: Run | None = None
        self._left_out = False  # for want of time to measure it
        self._told = False  # whether the history has what comes next already

    def _growing(self, sample: Sample) -> GrowingProbe:
        return GrowingProbe(self.data, sample, max_val=self._most, seed=self.seed, timer=self.timer)

    @property
    def probe(self) -> Probe:
        """The best probe so far."""
        if self._probe is None:
            self._probe = self._fit(self.first, self.seconds)
        return self._probe

    def _fit(self, max_images: int, seconds: float | None) -> Probe:
        start = self.timer()
        found: list[Probe] = []
        for one in self.each:
            left = None
            if seconds is not None:
                left = max(seconds - (self.timer() - start), 0.0) / (len(self.each) - len(found))
            found.append(one.fit(max_images=max_images, seconds=left))
        self._alone = found[0]
        features = [one.val_features for one in self.each]
        return found[0].with_others(found[1:], features, self.growing.val.labels)

    # ---- while a run goes on --------------------------------------------------------------------

    def attend(self, run: Run) -> None:
        """Fit the probe to the images of the sketch, and record it; of a resumed run the history has it."""
        self._run = run
        accuracy = self.probe.val_accuracy
        if not run.history:
            run.record("probe", accuracy)

    def reserve(self, room: float, training: float) -> float:
        """Seconds that are kept for measuring its network on the test part in the end.

        Where that takes more than half of the room, a training goes before, if there is time for one that is
        worth while: then the derived network is handed back alone.

        Args:
            room: seconds for this and for training.
            training: seconds of the shortest training that is worth while.
        """
        measuring = sum(
            one.pace * _UNFOLDED * (1.0 if one.sample.backbone.exact else _UNROUNDED) for one in self.each
        )
        needed = Team.current().largest(measuring)[0] * len(self.data.test)
        self._left_out = needed > room / 2 and room >= training
        return 0.0 if self._left_out else needed

    def go_on(self) -> None:
        """The stage `derived` begins, or goes on: then the probe does again what it had done in it."""
        assert self._run is not None
        self._told = self._run.goes_on_in("derived")
        if self._told and self._run.facts.grown:
            self.grow(closer=self._run.facts.closer)

    def better(self, network: Supernet | DerivedModel, accuracy: float) -> None:
        """See the derived network as it is best so far, and its validation accuracy."""
        self.look(network, accuracy)
        if not self._told:
            self._record()
        self._told = False

    def halfway(self, reached: float) -> float:
        """Look at more images, halfway through the derived network's training, if the probe then answers.

        Returns:
            Seconds that measuring the probe's network will take besides those of `reserve`.
        """
        if not self.matters(reached):
            return 0.0
        assert self._run is not None
        closer, measuring = self._affordable()
        self._run.note(grown=True, closer=closer)
        self._run.record("probe", self.grow(closer=closer))
        self._record()
        return measuring if self.probe.others else 0.0

    def _affordable(self) -> tuple[int, float]:
        """How many of the better backbones look too, and the seconds that measuring their network takes.

        Looking and measuring may take half of what is left.
        """
        if self.seconds is None or not self.closer or self._left_out:
            return (0 if self._left_out else len(self.closer)), 0.0
        assert self._run is not None
        room, taken, measuring = self._run.left() / 2, 0.0, 0.0
        one = pace(self.closer[0].partition("@")[0], self.timer)
        for count, look in enumerate(self.closer):
            scaled = one * (get_backbone(look).size / TIMED_SIZE) ** 2
            later = scaled * _UNFOLDED * _UNROUNDED * len(self.data.test)
            taken += scaled * (self.first + len(self.growing.val)) + later
            if taken > room:
                return count, measuring
            measuring += later
        return len(self.closer), measuring

    def _record(self) -> None:
        found = self.pool()
        if found is not None and self._run is not None:
            self._run.record("ensemble", found[0].accuracy)

    def look(self, network: Supernet | DerivedModel, accuracy: float) -> None:
        """Keep what a network says, unless both together would be too large."""
        if self._fits is None:
            self._fits = self.limits == Limits() or self._allowed(network)
        if self._fits:
            self._seen = logits(network, self.growing.val), accuracy

    def _allowed(self, network: Supernet | DerivedModel) -> bool:
        return self.limits.allow(parts_of(network, probe_network(self.probe)))

    def pool(self) -> tuple[Pool, Pool] | None:
        """The derived network that was seen last and the probe together, and the better one alone.

        Only if both together are handed back: if their cross-entropy on validation is clearly lower than that
        of the better one, and their accuracy no lower than the probe's. Where one has no error there is
        nothing to gain.
        """
        if self._seen is None:
            return None
        asked = (self._answer(), self.probe.val_accuracy)
        alone = max(self._seen, asked, key=lambda each: each[1])
        if alone[1] >= 1:
            return None
        labels = self.growing.val.labels
        pool = fit_pool([self._seen[0], asked[0]], labels)
        single = fit_pool([alone[0]], labels)
        return (pool, single) if pool.accuracy >= asked[1] and pool.clearly_better_than(single) else None

    def _answer(self) -> Tensor:
        """What the probe says of the validation images; of those that look some may not belong to it."""
        seen = [one.val_features for one in self.each[: len(self.probe.members)]]
        return self.probe.together(seen)

    def matters(self, reached: float) -> bool:
        """Whether it shall look at more images: if it answers, alone or with the network.

        Args:
            reached: the derived network's best validation accuracy.
        """
        # A network that is ahead while its training goes on is out of reach: docs/decisions.md, 51 and 61.
        spent = self.seconds is not None and self.probe.seconds >= self.seconds
        if spent or (not self.closer and all(one.complete for one in self.each)):
            return False
        return self.probe.val_accuracy >= reached or self.pool() is not None

    def grow(self, *, closer: int = 0) -> float:
        """Fit it to more images; returns its validation accuracy then.

        Args:
            closer: number of better backbones that look too.
        """
        spent, began = self.probe.seconds, self.timer()
        for name in self.closer[:closer]:
            sample = Sample.of(self.data, get_backbone(name).quick(), timer=self.timer)
            self.each.append(self._growing(sample))
        left = None if self.seconds is None else max(self.seconds - spent - (self.timer() - began), 0.0)
        grown = self._fit(MAX_IMAGES, left)
        # With little time the better backbones see few images, and the first one may answer better alone.
        for each in (self._alone, grown) if closer else (grown,):
            if each.val_accuracy >= self.probe.val_accuracy:
                self._probe = each
        return self.probe.val_accuracy

    # ---- in the end -----------------------------------------------------------------------------

    def under(
        self, result: FinetuneResult, device: torch.device, test: Tensor | None = None
    ) -> FinetuneResult:
        """What a run hands back, no worse on validation than the probe.

        That is the derived network; or the probe's network where it is better, or both together where that is
        clearly better than either (`pool`). Limits of size hold: a probe that is too large for them is told
        of, and not handed back.

        Args:
            result: of the search.
            device: where another network is measured.
            test: logits of the derived network on the test part, if they are there.

        Returns:
            A result with `probe`. If another network is handed back, `derived` is the result of the search,
            and a warning says how far the derived network came.
        """
        network, reached = probe_network(self.probe), result.accuracy["val"]
        params, macs = network_size(network)
        probe = self.probe.to_json() | {"params": params, "macs": macs}
        fits = self.limits.allow(parts_of(network))
        choice = self._choice(result, network if fits and not self._left_out else None)
        if choice is not None:
            return _handed_back(
                result, choice, probe, self.data, device, {} if test is None else {result.model: test}
            )
        told = []
        if self.probe.val_accuracy > reached and (self._left_out or not fits):
            why = (
                f"too large for the limits ({params:,} parameters, {macs:,} MACs)"
                if not fits
                else f"there is no time to measure it on {len(self.data.test):,} test images"
            )
            told.append(f"{self._better(reached)}, but {why}: it is not handed back")
        return replace(result, probe=probe, warnings=(*result.warnings, *told))

    def _choice(self, result: FinetuneResult, network: Model | None) -> Choice | None:
        """What is better than the derived network; the probe's network is None where it is too large."""
        assert isinstance(result.model, DerivedModel)
        reached = result.accuracy["val"]
        if self._seen is None:  # else it was seen when it was found to be the best
            self.look(result.model, reached)
        found = self.pool()
        if found is not None and network is not None:
            pool, alone = found
            why = (
                "the derived network and a linear probe on the ImageNet backbone are better together on "
                f"{self._where}, by a cross-entropy of {pool.cross_entropy:.3f} against "
                f"{alone.cross_entropy:.3f}; accuracy {_percent(pool.accuracy)}, of the derived network "
                f"{_percent(reached)}"
            )
            facts = {
                "weights": [round(weight, 4) for weight in pool.weights.tolist()],
                "cross_entropy": pool.cross_entropy,
                "alone": alone.cross_entropy,
            }
            asked = members(network)
            shares = pool.weights[1:].expand(len(asked)) / len(asked)
            both = Ensemble([result.model, *asked], torch.cat([pool.weights[:1], shares]))
            return Choice("ensemble", both, why, None if self.seconds is None else pool.accuracy, facts)
        if network is not None and self.probe.val_accuracy > reached:
            val = None if self.seconds is None else self.probe.val_accuracy
            return Choice("probe", network, self._better(reached), val)
        return None

    @property
    def _where(self) -> str:
        part, whole = len(self.growing.val), len(self.data.val)
        return "validation" if part == whole else f"{part:,} of the {whole:,} validation images"

    def _better(self, reached: float) -> str:
        accuracies = f"{_percent(self.probe.val_accuracy)} against {_percent(reached)}"
        return f"a linear probe on the ImageNet backbone is better on {self._where}, {accuracies}"


def _handed_back(
    searched: FinetuneResult,
    choice: Choice,
    probe: dict[str, Any],
    data: ImageDataset,
    device: torch.device,
    known: Mapping[torch.nn.Module, Tensor],
) -> FinetuneResult:
    """The result with another network in place of the derived one."""
    model = choice.model
    params, macs = count_parameters(model), probe["macs"]
    model.placed(device)
    accuracy = {"val": evaluate(model, data.val) if choice.val is None else choice.val}
    macs += searched.macs if choice.returned == "ensemble" else 0
    if isinstance(model, Ensemble):
        accuracy["test"] = evaluate_together(model, data.test, known)
    else:
        accuracy["test"] = evaluate(model, data.test)
    what = "both are handed back as one" if choice.returned == "ensemble" else "its network is handed back"
    told = (
        f"{choice.why}: {what} ({params:,} parameters, {macs:,} MACs). The derived network "
        f"({searched.params:,} parameters, {searched.macs:,} MACs) is kept beside it; to have that alone, "
        "switch the floor off or set a limit of size"
    )
    return replace(
        searched,
        model=model.placed("cpu").eval(),
        genotype=searched.genotype if isinstance(model, Ensemble) else model.genotype,
        accuracy=accuracy,
        params=params,
        macs=macs,
        warnings=(*searched.warnings, told),
        returned=choice.returned,
        probe=probe,
        ensemble=choice.ensemble,
        derived=searched,
        licences={} if choice.returned == "probe" else searched.licences,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
