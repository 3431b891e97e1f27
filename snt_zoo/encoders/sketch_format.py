"""How a sketch lies in a safetensors file: half-precision tensors, names as JSON metadata.

Format 2 keeps square roots of the class covariances, which is what a distance works with, in the place of
the covariances themselves: what is read back is positive semidefinite whatever the rounding, and nothing is
decomposed when the file is read. Format 1, in which the first bundles were written, is still read.

| tensor | type | shape |
|---|---|---|
| `counts` | int64 | K |
| `means` | float16 | K x 64 |
| `roots` | float16 | K x 528: upper triangles of the symmetric roots; above 96 classes one, 1 x 528 |
| `scales` | float16 | above 96 classes only: K, each class's root is so many times the common shape |
| `samples` | float16 | m x 64 |
| `sample_labels` | int16 | m |

Format 1 has `covariances` in the place of `roots` and `scales`: float16 K x 528, upper triangles, or above 96
classes K x 16, variances, each for two dimensions; its metadata name no format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snt_zoo.encoders.projection import DIM
from snt_zoo.errors import ConfigError, TensorError

FORMAT = 2
COVARIANCE_DIM = 32  # the first so many of the DIM projected features
FULL_COVARIANCES = 96  # above so many classes they share one shape
MAX_CLASSES = 1000  # the most frequent ones are kept
LARGEST = 64.0
"""Length of a mean or a sample, and root of the trace of a covariance, at most. Features have unit length
before they are projected, and about that length after it: 6.6 at most from 2,048 features of a backbone,
which is the largest singular value of the projection. What is larger was made by no backbone."""
_PACKED = COVARIANCE_DIM * (COVARIANCE_DIM + 1) // 2
_ROWS, _COLUMNS = torch.triu_indices(COVARIANCE_DIM, COVARIANCE_DIM)
_WEIGHTS = torch.where(
    _ROWS == _COLUMNS, 1.0, 2.0
).double()  # how often an entry of a triangle is in a matrix
_PLACES = torch.zeros(COVARIANCE_DIM, COVARIANCE_DIM, dtype=torch.int64)  # where each entry is in a triangle
_PLACES[_ROWS, _COLUMNS] = _PLACES[_COLUMNS, _ROWS] = torch.arange(_PACKED)
_PLACES = _PLACES.flatten()


def symmetric_roots(covariances: Tensor) -> Tensor:
    """Symmetric square roots of positive semidefinite matrices, ``... x d x d``."""
    values, vectors = torch.linalg.eigh(covariances)
    roots: Tensor = (vectors * values.clamp_min(0).sqrt()[..., None, :]) @ vectors.mT
    return roots


@dataclass(frozen=True, eq=False)
class Roots:
    """Square roots of class covariances, as they are stored: a thousand bytes a class, or for all together.

    Args:
        packed: upper triangles of symmetric roots, float16 ``K x 528``, or one for all classes ``1 x 528``.
        scales: float32 ``K``, what each class's root is multiplied by.
    """

    packed: Tensor
    scales: Tensor

    def matrices(self) -> Tensor:
        """The root of each class, float32 ``K x 32 x 32``."""
        return symmetric(self.packed.float()) * self.scales[:, None, None]

    def triangles(self) -> Tensor:
        """Their upper triangles, float64 ``K x 528``."""
        if len(self.scales) <= FULL_COVARIANCES:  # nothing is scaled
            return self.packed.double()
        return (self.packed.float() * self.scales[:, None]).double()

    @classmethod
    def of(cls, covariances: Tensor) -> Roots:
        """The roots that stand for covariances ``K x 32 x 32``, or variances ``K x 32``.

        Above 96 classes: of the mean covariance, scaled to each class's trace.
        """
        if covariances.dim() == 2:
            covariances = covariances.diag_embed()
        wide = covariances.double()
        scales = torch.ones(len(wide), dtype=torch.float64)
        if len(wide) > FULL_COVARIANCES:
            traces = wide.diagonal(dim1=1, dim2=2).sum(1)
            wide = wide.mean(0, keepdim=True)
            scales = (traces / traces.mean().clamp_min(1e-30)).sqrt()
        return cls(upper_triangles(symmetric_roots(wide)).float().half(), scales.float())


def pack(
    *, counts: Tensor, means: Tensor, roots: Roots, samples: Tensor, sample_labels: Tensor
) -> dict[str, Tensor]:
    """The tensors of format 2."""
    common = {"scales": roots.scales.half()} if len(counts) > FULL_COVARIANCES else {}
    return common | {
        "counts": counts.to(torch.int64),
        "means": means.half(),
        "roots": roots.packed,
        "samples": samples.half(),
        "sample_labels": sample_labels.to(torch.int16),
    }


def pack_meta(name: str, backbone: str, class_names: tuple[str, ...]) -> str:
    """The metadata of format 2."""
    meta = {"format": FORMAT, "name": name, "backbone": backbone, "class_names": list(class_names)}
    return json.dumps(meta, ensure_ascii=False)


def unpack(tensors: Mapping[str, Tensor], meta: str) -> tuple[dict[str, Any], Roots | None]:
    """The fields of a sketch, from either format; trusts nothing.

    Returns:
        The fields, and the roots where they are stored; then there are no `covariances`, which are their
        squares.

    Raises:
        TensorError: a tensor is missing, of a wrong shape or type, not finite or out of range.
        ConfigError: the metadata is of neither format.
    """
    version, name, backbone, class_names = _parse_meta(meta)
    drawn = tensors.get("samples")
    k, m = len(class_names), 0 if drawn is None or drawn.dim() == 0 else len(drawn)
    _check(tensors, _expected(version, k, m), f"a sketch of {k} classes in format {version}")
    for key, tensor in tensors.items():
        # Of half floats the bits tell, and sooner: infinity and NaN have the largest exponent.
        if tensor.dtype == torch.float16 and bool(((tensor.view(torch.int16) & 0x7C00) == 0x7C00).any()):
            raise TensorError(f"the sketch of {name!r} holds NaN or infinity in {key!r}")
    labels = tensors["sample_labels"].long()
    if bool((tensors["counts"] < 1).any()) or bool(((labels < 0) | (labels >= k)).any()):
        raise TensorError(f"the sketch of {name!r} has counts below 1 or labels out of range")
    fields = {
        "name": name,
        "backbone": backbone,
        "class_names": class_names,
        "counts": tensors["counts"],
        "means": tensors["means"].float(),
        "samples": tensors["samples"].float(),
        "sample_labels": labels,
    }
    if version == 1:
        found = tensors["covariances"].float()
        full = symmetric(found) if k <= FULL_COVARIANCES else found.repeat_interleave(2, 1)
        variances = full if full.dim() == 2 else full.diagonal(dim1=1, dim2=2)
        _check_size(fields, variances.clamp_min(0).sum(1).sqrt())
        return fields | {"covariances": full}, None
    scales = tensors.get("scales", torch.ones(k)).float()
    if bool((scales < 0).any()):
        raise TensorError(f"the sketch of {name!r} has scales below 0")
    roots = Roots(tensors["roots"], scales)
    _check_size(fields, (roots.triangles().square() @ _WEIGHTS).sqrt())
    return fields, roots


def _check_size(fields: Mapping[str, Any], spreads: Tensor) -> None:
    """Refuse what no projected feature can come to; `spreads` are the roots of the traces of covariances."""
    lengths = {
        "means": fields["means"].norm(dim=1),
        "samples": fields["samples"].norm(dim=1),
        "covariances": spreads,
    }
    for key, found in lengths.items():
        most = float(found.max()) if len(found) else 0.0
        if not most <= LARGEST:
            raise TensorError(
                f"the sketch of {fields['name']!r} holds {key} of size {most:.3g}, features of a backbone "
                f"come to {LARGEST:g} at most: it was not made by one; do not use it"
            )


def _expected(version: int, k: int, m: int) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    full = k <= FULL_COVARIANCES
    spread: dict[str, tuple[torch.dtype, tuple[int, ...]]]
    if version == 1:
        spread = {"covariances": (torch.float16, (k, _PACKED if full else COVARIANCE_DIM // 2))}
    elif full:
        spread = {"roots": (torch.float16, (k, _PACKED))}
    else:
        spread = {"roots": (torch.float16, (1, _PACKED)), "scales": (torch.float16, (k,))}
    return spread | {
        "counts": (torch.int64, (k,)),
        "means": (torch.float16, (k, DIM)),
        "samples": (torch.float16, (m, DIM)),
        "sample_labels": (torch.int16, (m,)),
    }


def _check(
    tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[torch.dtype, tuple[int, ...]]], what: str
) -> None:
    found = {key: (t.dtype, tuple(t.shape)) for key, t in tensors.items()}
    if found != expected:
        raise TensorError(f"{what} must hold {expected}, got {found}")


def upper_triangles(matrices: Tensor) -> Tensor:
    """The upper triangles of matrices, ``n x 32 x 32`` to ``n x 528``."""
    return matrices[:, _ROWS, _COLUMNS]


def inner_products(left: Tensor, right: Tensor) -> Tensor:
    """Of symmetric matrices given by their upper triangles, ``n x 528`` and ``m x 528`` to ``n x m``."""
    return (left * _WEIGHTS) @ right.mT


def symmetric(packed: Tensor) -> Tensor:
    """Symmetric matrices from their upper triangles, ``n x 528`` to ``n x 32 x 32``."""
    # Five times as fast as by an index in brackets.
    return packed.index_select(1, _PLACES).view(-1, COVARIANCE_DIM, COVARIANCE_DIM)


def _parse_meta(meta: str) -> tuple[int, str, str, tuple[str, ...]]:
    try:
        data: dict[str, Any] = json.loads(meta)
        version = data.pop("format", 1)
        name, backbone, class_names = data["name"], data["backbone"], data["class_names"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"the metadata of a sketch cannot be read: {error}") from error
    if type(version) is not int or version not in (1, FORMAT):
        raise ConfigError(
            f"the metadata of a sketch name format {version!r}, this release reads 1 and {FORMAT}: "
            "use a newer release, or sketch the dataset again"
        )
    strings = isinstance(class_names, list) and all(
        isinstance(s, str) for s in (name, backbone, *class_names)
    )
    if not strings or set(data) != {"name", "backbone", "class_names"}:
        raise ConfigError("the metadata of a sketch must hold name, backbone and class_names as text")
    if not 1 <= len(class_names) <= MAX_CLASSES:
        raise ConfigError(f"a sketch must have 1 to {MAX_CLASSES} classes, got {len(class_names)}")
    return version, name, backbone, tuple(class_names)
