"""A sketch: what a query needs to know of a dataset, at most 200 KB, without any image.

Per-class means, covariances and counts of projected backbone features, a few sampled features and the
class names. It is made in one bounded pass over the training split. Which images are drawn depends on
their content and the seed alone, so the order of the images and of the classes changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.data.fingerprint import digests
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE, Backbone, get_backbone
from snt_zoo.encoders.projection import DIM, PROJECTION_ID, project
from snt_zoo.errors import ConfigError, TensorError

COVARIANCE_DIM = 32  # the first so many of the DIM projected features
FULL_COVARIANCES = 96  # above so many classes only variances are kept, each for two dimensions
MAX_CLASSES = 1000  # the most frequent ones are kept
MAX_IMAGES = 512
MAX_SAMPLES = 256
SIZE_LIMIT = 200_000  # bytes
_NAME_BYTES = 16_000  # for all class names together


@dataclass(frozen=True, eq=False)
class Sketch:
    """Statistics of a labelled dataset in a fixed feature space.

    Args:
        name: of the dataset.
        backbone: id of the backbone, and of the projection, that made the features.
        class_names: K names.
        counts: images of each class in the training split, int64 ``K``.
        means: float32 ``K x 64``.
        covariances: float32 ``K x 32 x 32``, or variances ``K x 32`` where there are many classes; of
            the first 32 features, shrunk (see `_covariances`).
        samples: some projected features, float32 ``m x 64``.
        sample_labels: their classes, int64 ``m``.
    """

    name: str
    backbone: str
    class_names: tuple[str, ...]
    counts: Tensor
    means: Tensor
    covariances: Tensor
    samples: Tensor
    sample_labels: Tensor

    @property
    def frequencies(self) -> Tensor:
        """Class frequencies, float64 ``K``, sum 1."""
        counts = self.counts.double()
        return counts / counts.sum()

    def full_covariances(self) -> Tensor:
        """Covariances as matrices, ``K x 32 x 32``, also where only variances were kept."""
        return self.covariances if self.covariances.dim() == 3 else self.covariances.diag_embed()

    def to_tensors(self) -> dict[str, Tensor]:
        """Tensors for a safetensors file; features as float16, covariances as upper triangles."""
        covariances = self.covariances
        if covariances.dim() == 3:
            rows, columns = torch.triu_indices(COVARIANCE_DIM, COVARIANCE_DIM)
            covariances = covariances[:, rows, columns]
        else:
            # Projected dimensions are exchangeable: two of them share a variance, which saves half.
            covariances = covariances.reshape(-1, COVARIANCE_DIM // 2, 2).mean(2)
        return {
            "counts": self.counts.to(torch.int64),
            "means": self.means.half(),
            "covariances": covariances.half(),
            "samples": self.samples.half(),
            "sample_labels": self.sample_labels.to(torch.int16),
        }

    def to_meta(self) -> str:
        """Names and ids as JSON, for the metadata of the same file."""
        return json.dumps(
            {"name": self.name, "backbone": self.backbone, "class_names": list(self.class_names)},
            ensure_ascii=False,
        )

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], meta: str) -> Sketch:
        """The inverse of `to_tensors` and `to_meta`; trusts neither.

        Raises:
            TensorError: a tensor is missing, of a wrong shape or type, not finite or out of range.
            ConfigError: the metadata is not what `to_meta` gives.
        """
        name, backbone, class_names = _parse_meta(meta)
        drawn = tensors.get("samples")
        k, m = len(class_names), 0 if drawn is None or drawn.dim() == 0 else len(drawn)
        packed = COVARIANCE_DIM * (COVARIANCE_DIM + 1) // 2
        width = packed if k <= FULL_COVARIANCES else COVARIANCE_DIM // 2
        expected: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
            "counts": (torch.int64, (k,)),
            "means": (torch.float16, (k, DIM)),
            "covariances": (torch.float16, (k, width)),
            "samples": (torch.float16, (m, DIM)),
            "sample_labels": (torch.int16, (m,)),
        }
        found = {key: (t.dtype, tuple(t.shape)) for key, t in tensors.items()}
        if found != expected:
            raise TensorError(f"a sketch of {k} classes must hold {expected}, got {found}")
        for key, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise TensorError(f"the sketch of {name!r} holds NaN or infinity in {key!r}")
        labels = tensors["sample_labels"].long()
        if bool((tensors["counts"] < 1).any()) or bool(((labels < 0) | (labels >= k)).any()):
            raise TensorError(f"the sketch of {name!r} has counts below 1 or labels out of range")
        covariances = tensors["covariances"].float()
        if k <= FULL_COVARIANCES:
            rows, columns = torch.triu_indices(COVARIANCE_DIM, COVARIANCE_DIM)
            full = covariances.new_zeros(k, COVARIANCE_DIM, COVARIANCE_DIM)
            full[:, rows, columns] = covariances
            full[:, columns, rows] = covariances
            covariances = full
        else:
            covariances = covariances.repeat_interleave(2, dim=1)
        return cls(
            name,
            backbone,
            class_names,
            tensors["counts"],
            tensors["means"].float(),
            covariances,
            tensors["samples"].float(),
            labels,
        )


def sketch(dataset: ImageDataset, *, backbone: str | Backbone = DEFAULT_BACKBONE, seed: int = 0) -> Sketch:
    """Sketch a dataset's training split.

    Args:
        dataset: the labelled images.
        backbone: a backbone or its name.
        seed: decides, with the images' content, which of them are drawn.

    Returns:
        The sketch; the same for any order of the images.

    Example:
        >>> from snt_zoo import open_dataset
        >>> sketch(open_dataset("sklearn:digits")).means.shape
        torch.Size([10, 64])
    """
    network = get_backbone(backbone) if isinstance(backbone, str) else backbone
    split = dataset.train
    counts = torch.bincount(split.labels, minlength=dataset.num_classes)
    # The most frequent classes; of equals the ones with the smaller label.
    kept = counts.argsort(descending=True, stable=True)[:MAX_CLASSES].sort().values
    kept = kept[counts[kept] > 0]
    quota = max(2, MAX_IMAGES // len(kept))
    drawn = torch.cat([_draw(dataset, int(label), quota, seed) for label in kept])
    part = split.subset(drawn)
    pixels = part.tensor(network.size)
    features = project(network.features(pixels))
    position = torch.full((dataset.num_classes,), -1)
    position[kept] = torch.arange(len(kept))
    labels = position[part.labels]
    made = Sketch(
        name=dataset.name,
        backbone=f"{network.id}/{PROJECTION_ID}",
        class_names=_shorten([dataset.class_names[int(label)] for label in kept]),
        counts=counts[kept],
        means=_class_means(features, labels, len(kept)),
        covariances=_covariances(features, labels, len(kept)),
        samples=torch.empty(0, DIM),
        sample_labels=torch.empty(0, dtype=torch.int64),
    )
    samples, sample_labels = _samples(made, features, labels)
    # As a reader of the file will see it: rounded to float16.
    full = Sketch(**{**vars(made), "samples": samples, "sample_labels": sample_labels})
    return Sketch.from_tensors(full.to_tensors(), full.to_meta())


def _draw(dataset: ImageDataset, label: int, quota: int, seed: int) -> Tensor:
    members = (dataset.train.labels == label).nonzero().flatten()
    # Ordered by content: neither the order of the images nor the label decides who is drawn.
    key = seed.to_bytes(8, "big", signed=True)
    named = [
        (hashlib.blake2b(digest, key=key, digest_size=16).digest(), int(index))
        for digest, index in zip(digests(dataset.train.images, members), members, strict=True)
    ]
    return torch.tensor([index for _, index in sorted(named)[:quota]])


def _class_means(features: Tensor, labels: Tensor, k: int) -> Tensor:
    # In float64: the order in which images are summed must not show in float16.
    sums = torch.zeros(k, features.shape[1], dtype=torch.float64)
    sums.index_add_(0, labels, features.double())
    return (sums / torch.bincount(labels, minlength=k)[:, None]).float()


def _covariances(features: Tensor, labels: Tensor, k: int) -> Tensor:
    """Class covariances, shrunk towards the mean of all: ``K x 32 x 32``, or their diagonals.

    With n images of a class the weight of its own covariance is n / (n + 32): as if 32 images, as many
    as dimensions, had been seen that follow the common within-class covariance.
    """
    x = features[:, :COVARIANCE_DIM].double()
    centred = x - _class_means(features, labels, k)[:, :COVARIANCE_DIM].double()[labels]
    n = torch.bincount(labels, minlength=k).double()
    scatter = torch.zeros(k, COVARIANCE_DIM, COVARIANCE_DIM, dtype=torch.float64)
    for label in range(k):
        own = centred[labels == label]
        scatter[label] = own.T @ own
    pooled = scatter.sum(0) / max(float((n - 1).clamp_min(0).sum()), 1.0)
    shrunk = (scatter + COVARIANCE_DIM * pooled) / (n + COVARIANCE_DIM)[:, None, None]
    if k > FULL_COVARIANCES:
        shrunk = shrunk.diagonal(dim1=1, dim2=2)
    return shrunk.float()


def _samples(made: Sketch, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """As many of the features, evenly over the classes, as the size limit leaves room for."""
    used = sum(t.numel() * t.element_size() for t in made.to_tensors().values())
    overhead = 1024 + 2 * len(made.to_meta().encode())  # the file's header; quotes are escaped in it
    room = max(0, (SIZE_LIMIT - used - overhead) // (2 * DIM + 2))
    count = min(MAX_SAMPLES, room, len(features))
    # Images come grouped by class and, within one, in an order by content: taken round by round.
    seen: dict[int, int] = {}
    ranks = []
    for label in labels.tolist():
        ranks.append(seen.get(label, 0))
        seen[label] = ranks[-1] + 1
    order = torch.tensor(ranks).argsort(stable=True)[:count].sort().values
    return features[order], labels[order]


def _shorten(names: list[str]) -> tuple[str, ...]:
    longest = max(4, _NAME_BYTES // max(len(names), 1) // 4)  # a character has up to four bytes
    return tuple(name if len(name) <= longest else name[: longest - 1] + "…" for name in names)


def _parse_meta(meta: str) -> tuple[str, str, tuple[str, ...]]:
    try:
        data: dict[str, Any] = json.loads(meta)
        name, backbone, class_names = data["name"], data["backbone"], data["class_names"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"the metadata of a sketch cannot be read: {error}") from error
    strings = isinstance(class_names, list) and all(
        isinstance(s, str) for s in (name, backbone, *class_names)
    )
    if not strings or set(data) != {"name", "backbone", "class_names"}:
        raise ConfigError("the metadata of a sketch must hold name, backbone and class_names as text")
    if not 1 <= len(class_names) <= MAX_CLASSES:
        raise ConfigError(f"a sketch must have 1 to {MAX_CLASSES} classes, got {len(class_names)}")
    return name, backbone, tuple(class_names)
