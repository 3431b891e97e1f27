"""Safetensors files: headers checked before the library sees them, and writing without chance.

The format (huggingface/safetensors, README): eight bytes with the length of the header,
little-endian; the header, JSON, `{name: {dtype, shape, data_offsets}}` with an optional
`__metadata__` of texts; the data. The library was seen to accept duplicate keys and 500,000
tensors, and it writes metadata in an order that differs from run to run, which would give one
bundle many digests; hence the parser and the writer here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from snt_zoo.errors import TensorError
from snt_zoo.formats.strict_json import parse_json

MAX_TENSORS = 20_000
_MAX_DIMENSIONS = 8
_MAX_NAME = 256
DTYPES = {
    "F32": (torch.float32, "<f4"),
    "F16": (torch.float16, "<f2"),
    "I64": (torch.int64, "<i8"),
    "I16": (torch.int16, "<i2"),
}
"""The types that a bundle may hold: torch's, and numpy's with its byte order."""
_NAMES = {dtype: name for name, (dtype, _) in DTYPES.items()}

Spec = dict[str, tuple[torch.dtype, tuple[int, ...]]]
"""Type and shape of each tensor."""


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself.

    Args:
        tensors: type and shape of each tensor.
        metadata: the texts in `__metadata__`.
    """

    tensors: Spec
    metadata: Mapping[str, str]


def parse_header(raw: bytes, *, what: str, limit: int, size: int | None = None) -> Header:
    """Check the header of a safetensors file.

    Args:
        raw: the file, or at least the header.
        what: name of the file, for messages.
        limit: most bytes of the header.
        size: bytes of the whole file, if `raw` is only a part of it.

    Raises:
        TensorError: anything is not as the format, or this package's narrower use of it, says.
    """
    size = len(raw) if size is None else size
    length = int.from_bytes(raw[:8], "little")
    if size < 8 or length > min(limit, size - 8):
        raise TensorError(
            f"{what}: the header must have at most {min(limit, max(size - 8, 0)):,} bytes, says "
            f"{length:,}: the file is cut off, or no safetensors file of a bundle"
        )
    data = parse_json(raw[8 : 8 + length], what=f"the header of {what}", limit=limit, error=TensorError)
    metadata = data.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise TensorError(f"{what}: __metadata__ must hold texts alone")
    if len(data) > MAX_TENSORS:
        raise TensorError(f"{what} must hold at most {MAX_TENSORS:,} tensors, holds {len(data):,}")
    extents = []
    tensors: Spec = {}
    for name, entry in data.items():
        tensors[name], start, end = _parse_entry(name, entry, what)
        extents.append((start, end))
    position = 0
    for start, end in sorted(extents):
        if start != position:
            raise TensorError(f"{what}: data must be contiguous, found a gap or an overlap at {start:,}")
        position = end
    if position != size - 8 - length:
        raise TensorError(f"{what}: the tensors take {position:,} bytes, the file has {size - 8 - length:,}")
    return Header(tensors, metadata)


def _parse_entry(name: str, entry: object, what: str) -> tuple[tuple[torch.dtype, tuple[int, ...]], int, int]:
    shown = ascii(name)[:80]
    if len(name) > _MAX_NAME:
        raise TensorError(f"{what}: a name must have at most {_MAX_NAME} characters: {shown}")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise TensorError(f"{what}: {shown} must have dtype, shape and data_offsets, nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise TensorError(f"{what}: {shown} must be of type {', '.join(DTYPES)}, got {ascii(dtype)[:40]}")
    if not _is_counts(shape) or len(shape) > _MAX_DIMENSIONS:
        raise TensorError(
            f"{what}: the shape of {shown} must be at most {_MAX_DIMENSIONS} whole numbers, "
            f"got {ascii(shape)[:60]}"
        )
    itemsize = DTYPES[dtype][0].itemsize
    expected = math.prod(shape) * itemsize
    if not _is_counts(offsets) or len(offsets) != 2 or offsets[1] - offsets[0] != expected:
        raise TensorError(
            f"{what}: {shown} of shape {shape} must take {expected:,} bytes, "
            f"data_offsets are {ascii(offsets)[:60]}"
        )
    return (DTYPES[dtype][0], tuple(shape)), offsets[0], offsets[1]


def _is_counts(values: object) -> bool:
    # bool is an int in Python; 2**48 keeps products small enough to compute.
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**48 for v in values)


def load_tensors(raw: bytes, *, what: str, limit: int) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Tensors and metadata of a safetensors file; raises `TensorError`."""
    header = parse_header(raw, what=what, limit=limit)
    try:
        tensors = load(raw)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise TensorError(f"{what} cannot be read: {error}") from error
    return tensors, header.metadata


def dump_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file; the same bytes for equal tensors and metadata.

    Args:
        tensors: of the types in `DTYPES`, any device and memory format.
        metadata: texts.

    Raises:
        TensorError: another type.
    """
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    parts, position = [], 0
    # Widest items first, so that each tensor starts at a multiple of its item size.
    for name in sorted(tensors, key=lambda name: (-tensors[name].element_size(), name)):
        tensor = tensors[name]
        if tensor.dtype not in _NAMES:
            raise TensorError(f"{name} must be of type {', '.join(DTYPES)}, got {tensor.dtype}")
        kind = _NAMES[tensor.dtype]
        array = tensor.detach().cpu().contiguous().numpy()
        part = np.ascontiguousarray(array, dtype=DTYPES[kind][1]).tobytes()
        offsets = [position, position + len(part)]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": offsets}
        parts.append(part)
        position += len(part)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)
