"""`dataset.safetensors`: the sketches of a bundle, one for each dataset that it was trained on.

The tensors of sketch i are named `i.<name>`; its names and ids are the metadata `sketch.i`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from weakref import WeakValueDictionary

from torch import Tensor

from snt_zoo.encoders.sketch import MAX_CLASSES, Sketch
from snt_zoo.errors import ConfigError, TensorError
from snt_zoo.formats.strict_json import parse_json
from snt_zoo.formats.tensor_file import dump_tensors, load_tensors
from snt_zoo.registry.bundle.fields import one_line
from snt_zoo.registry.bundle.folder import DATASET, DATASET_HEADER_LIMIT, MAX_SKETCHED_CLASSES, MAX_SKETCHES
from snt_zoo.registry.bundle.schema import BundleConfig

_IN_MEMORY: WeakValueDictionary[bytes, Sketch] = WeakValueDictionary()
"""Sketches that something holds, by content. Each generalist brings those of all its datasets: a query would
read the same ones again and again, and measure them."""


def dump_sketches(sketches: Sequence[Sketch]) -> bytes:
    """The file's content; the same bytes for equal sketches.

    Raises:
        TensorError: there is no sketch, or more than 256.
    """
    if not 1 <= len(sketches) <= MAX_SKETCHES:
        raise TensorError(f"a bundle must hold 1 to {MAX_SKETCHES} sketches, got {len(sketches)}")
    tensors: dict[str, Tensor] = {}
    metadata = {}
    for i, sketch in enumerate(sketches):
        tensors.update({f"{i}.{name}": t for name, t in sketch.to_tensors().items()})
        metadata[f"sketch.{i}"] = sketch.to_meta()
    return dump_tensors(tensors, metadata)


def load_sketch(raw: bytes) -> Sketch:
    """The one sketch of a file that somebody sends, by whatever backbone; raises as `load_sketches` does."""
    found = load_sketches(raw, backbone=None)
    if len(found) != 1:
        raise TensorError(f"{DATASET} must hold the sketch of one dataset, holds {len(found)}")
    return found[0]


def load_sketches(raw: bytes, *, backbone: str | None) -> tuple[Sketch, ...]:
    """The sketches of a file.

    Args:
        raw: its content.
        backbone: id that each sketch must carry; None for any.

    Raises:
        TensorError: the tensors are not those of sketches.
        ConfigError: names are no plain text, or a sketch is of another backbone.
    """
    tensors, metadata = load_tensors(raw, what=DATASET, limit=DATASET_HEADER_LIMIT)
    count = len(metadata)
    if not 1 <= count <= MAX_SKETCHES or set(metadata) != {f"sketch.{i}" for i in range(count)}:
        raise TensorError(
            f"{DATASET}: the metadata must be sketch.0, sketch.1 and so on, at most {MAX_SKETCHES}"
        )
    parts: list[dict[str, Tensor]] = [{} for _ in range(count)]
    numbers = {str(i) for i in range(count)}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        # Compared as text: "01." and "٣." are not names that a writer gives.
        if number not in numbers:
            raise TensorError(f"{DATASET}: {ascii(name)[:80]} belongs to no sketch")
        parts[int(number)][key] = tensor
    classes = sum(part["counts"].numel() for part in parts if "counts" in part)
    if classes > MAX_SKETCHED_CLASSES:
        raise TensorError(
            f"{DATASET}: the sketches of a bundle may have {MAX_SKETCHED_CLASSES:,} classes together, these "
            f"have {classes:,}: train on fewer datasets"
        )
    return tuple(_load_one(part, metadata[f"sketch.{i}"], i, backbone) for i, part in enumerate(parts))


def check_sketches(config: BundleConfig, sketches: Sequence[Sketch]) -> None:
    """Hold the sketches to what the config says of the datasets, one by one.

    Whoever could add sketches of what a supernet never saw would be near everybody's data.

    Raises:
        ConfigError: another number of sketches than of datasets, or one with another name, other classes or
            other numbers of images than its dataset.
    """
    datasets = config.training.datasets
    if len(sketches) != len(datasets):
        raise ConfigError(
            f"{DATASET} must hold one sketch for each of the {len(datasets)} training.datasets of "
            f"config.json, holds {len(sketches)}: the bundle was not made by snt-zoo; do not use it"
        )
    for number, (sketch, data) in enumerate(zip(sketches, datasets, strict=True)):
        classes, images = len(sketch.class_names), sum(sketch.counts.tolist())
        # Classes without an image for training are not sketched, nor the rarest beyond a thousand.
        whole = classes == data.classes
        fits = whole or (classes < data.classes and classes <= MAX_CLASSES)
        if sketch.name != data.name:
            found, expected = repr(sketch.name), repr(data.name)
        elif not fits:
            found, expected = f"{classes:,} classes", f"{data.classes:,}"
        elif images > data.train_images or (whole and images != data.train_images):
            found, expected = f"{images:,} images", f"{data.train_images:,}"
        else:
            continue
        raise ConfigError(
            f"{DATASET}: sketch {number} is of {found}, config.json: training.datasets.{number} says "
            f"{expected}: the bundle was not made by snt-zoo; do not use it"
        )


def _load_one(tensors: dict[str, Tensor], meta: str, number: int, backbone: str | None) -> Sketch:
    where = f"{DATASET}: sketch {number}"
    if any(tensor.dim() == 0 for tensor in tensors.values()):
        raise TensorError(f"{where}: a tensor is a single number, expected one row for each class or sample")
    key = _key(tensors, meta)
    if (known := _IN_MEMORY.get(key)) is not None and backbone in (None, known.backbone):
        return known
    try:
        # For its duplicate keys; Sketch.from_tensors reads it again.
        parse_json(meta.encode("utf-8", "surrogatepass"), what=where, limit=DATASET_HEADER_LIMIT)
        sketch = Sketch.from_tensors(tensors, meta)
        for text in (sketch.name, sketch.backbone, *sketch.class_names):
            one_line(text)
    except (ConfigError, TensorError) as error:
        raise type(error)(f"{where}: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{where}: a name {error}") from error
    if backbone is not None and sketch.backbone != backbone:
        raise ConfigError(
            f"{where} was made by the backbone {sketch.backbone!r}, config.json: backbone says "
            f"{backbone!r}: sketch the dataset again with that one"
        )
    _IN_MEMORY[key] = sketch
    return sketch


def _key(tensors: dict[str, Tensor], meta: str) -> bytes:
    """Names the content of a sketch in a file."""
    digest = hashlib.sha256(meta.encode("utf-8", "surrogatepass"))
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"|{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode("utf-8", "surrogatepass"))
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.digest()
