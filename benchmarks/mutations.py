"""Ways to spoil a file: bytes at random, and edits that keep to a format so that they reach deeper."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

Mutation = Callable[[bytes, random.Random], bytes]

_INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 255, 2**31, 2**53 + 1, -(2**63), 2**64, 10**30, 0.5, -0.0, 1e308, 5e-324,
    float("nan"), float("inf"), float("-inf"), "", " ", "a", "\x00", "\x1b[2J", "\ud800", "\u202e", "é" * 40,
    "../../x", "a" * 3000, "true", [], {}, [[]], {"a": {"b": 1}}, [0] * 300, {"": None},
)  # fmt: skip
_KEYS = (
    "",
    "name",
    "files",
    "shape",
    "dtype",
    "data_offsets",
    "__metadata__",
    "sketch.0",
    "format_version",
    "x",
)
_DTYPES = ("|u1", "<i8", "<f4", "<f8", "|O", "<U3", "|S2", "|b1", "<M8[s]", "<c16", ">i2", "|V4", "<f2", "x")


def spoil_bytes(raw: bytes, draw: random.Random) -> bytes:
    """One edit that knows nothing of the format."""
    data = bytearray(raw)
    place = draw.randrange(len(data) + 1)
    span = draw.choice((1, 2, 4, 8, 16, 64, 1024))
    kind = draw.randrange(7)
    if kind == 0 and data:
        data[place % len(data)] ^= 1 << draw.randrange(8)
    elif kind == 1:
        del data[place : place + span]
    elif kind == 2:
        data[place:place] = draw.randbytes(span)
    elif kind == 3:
        data[place:place] = data[draw.randrange(len(data) + 1) :][:span]
    elif kind == 4:
        del data[place:]
    elif kind == 5:
        width, order = draw.choice((1, 2, 4, 8)), draw.choice(("little", "big"))
        number = draw.choice(_INTEGERS) % 256**width
        data[place : place + width] = number.to_bytes(width, "little" if order == "little" else "big")
    else:
        data[place : place + span] = draw.choice((b"\x00", b"\xff", b" ", b"{", b"[")) * span
    return bytes(data)


def spoil_json(raw: bytes, draw: random.Random) -> bytes:
    """An edit of a JSON document's values or keys; of its bytes where it is none any more."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return spoil_bytes(raw, draw)
    kind = draw.randrange(12)
    if kind == 0:
        return spoil_bytes(raw, draw)
    if kind == 1:
        return b"[" * draw.choice((10, 2000, 100_000)) + raw
    if kind == 2:  # a key that stands there twice
        key = draw.choice(_KEYS)
        return raw.replace(b"{", b'{"%s":1,"%s":2,' % (key.encode(), key.encode()), 1)
    if kind == 3:
        return raw.replace(b"1", draw.choice((b"1e999", b"NaN", b"1" * 5000, b"-0", b"0x1")), 1)
    return json.dumps(_edit(document, draw)).encode()


def _edit(value: Any, draw: random.Random) -> Any:
    """A copy of a JSON value with one change, somewhere."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(list(value))
        kind = draw.randrange(8)
        if kind == 0:
            return {k: v for k, v in value.items() if k != key}
        if kind == 1:
            return value | {draw.choice(_KEYS): _odd(draw)}
        if kind == 2:
            return {(draw.choice(_KEYS) if k == key else k): v for k, v in value.items()}
        return value | {key: _edit(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.8:
        place = draw.randrange(len(value))
        kind = draw.randrange(6)
        if kind == 0:
            return value[:place] + value[place + 1 :]
        if kind == 1:
            return value + value[place : place + 1] * draw.choice((1, 300))
        return [*value[:place], _edit(value[place], draw), *value[place + 1 :]]
    if isinstance(value, int) and not isinstance(value, bool) and draw.random() < 0.6:
        return value + draw.choice((-1, 1, 2, 8, 100, 10**6, -value, value))
    return _odd(draw)


def _odd(draw: random.Random) -> Any:
    return draw.choice(_ODD)


def spoil_safetensors(raw: bytes, draw: random.Random) -> bytes:
    """An edit of the header, with or without a length that fits, or of the data."""
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or length > len(raw) - 8 or draw.random() < 0.15:
        return spoil_bytes(raw, draw)
    header, data = raw[8 : 8 + length], raw[8 + length :]
    if draw.random() < 0.75:
        header = _spoil_sketch_names(header, draw) if draw.random() < 0.2 else spoil_json(header, draw)
    else:
        data = spoil_bytes(data, draw)
    claimed = len(header) if draw.random() < 0.95 else draw.choice(_INTEGERS)
    return claimed.to_bytes(8, "little") + header + data


def _spoil_sketch_names(header: bytes, draw: random.Random) -> bytes:
    """An edit of the JSON that stands as a text in the metadata."""
    try:
        document = json.loads(header)
        texts = document["__metadata__"]
        key = draw.choice(list(texts))
        texts[key] = spoil_json(texts[key].encode(), draw).decode("utf-8", "replace")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return spoil_json(header, draw)
    return json.dumps(document).encode()


def spoil_npz(raw: bytes, draw: random.Random) -> bytes:
    """An edit of one array's header or data, or of the archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:  # an earlier edit took it apart, and zipfile raises nearly anything
        return spoil_bytes(raw, draw)
    kind = draw.randrange(8)
    if kind == 0 or not members:
        return spoil_bytes(raw, draw)
    name = draw.choice(list(members))
    if kind == 1:
        del members[name]
    elif kind == 2:
        members[draw.choice(("val_labels.npy", "class_names.npy", "test_images", "../x.npy", name + "x"))] = (
            members[name]
        )
    elif kind == 3:
        members[name] = members[draw.choice(list(members))]
    elif kind == 4:
        members[name] = spoil_bytes(members[name], draw)
    else:
        members[name] = _spoil_npy(members[name], draw)
    return zip_of(members, draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def zip_of(members: Mapping[str, bytes], method: int) -> bytes:
    """An archive, the same bytes at any time."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return sink.getvalue()


def _spoil_npy(raw: bytes, draw: random.Random) -> bytes:
    """Another dtype, order or shape in the header, which is a Python literal (numpy's NEP 1)."""
    if raw[:6] != b"\x93NUMPY" or len(raw) < 10:
        return spoil_bytes(raw, draw)
    length = int.from_bytes(raw[8:10], "little")
    text, data = raw[10 : 10 + length].decode("latin1"), raw[10 + length :]
    parts = text.split("'shape': ")
    kind = draw.randrange(4)
    if kind == 0:
        before, _, after = text.partition("'descr': ")
        text = f"{before}'descr': '{draw.choice(_DTYPES)}'{after[after.find(',') :]}"
    elif kind == 1 and len(parts) == 2:
        size = draw.choice((0, 1, 2, 3, 28, -1, 10**5, 2**31, 2**63, 10**20))
        shape = tuple(size if draw.random() < 0.5 else draw.randrange(5) for _ in range(draw.randrange(6)))
        text = f"{parts[0]}'shape': {shape}, }}"
    elif kind == 2:
        text = text.replace("False", "True")
    else:
        text = spoil_bytes(text.encode("latin1"), draw).decode("latin1")
    header = text.encode("latin1", "replace")[:65535]
    return raw[:8] + len(header).to_bytes(2, "little") + header + data


def spoil_image(raw: bytes, draw: random.Random) -> bytes:
    """An edit of a PNG chunk with a checksum that fits, or of any image's bytes."""
    if not raw.startswith(b"\x89PNG") or draw.random() < 0.3:
        return spoil_bytes(raw, draw)
    chunks, position = [], 8
    while position + 12 <= len(raw):
        (size,) = struct.unpack(">I", raw[position : position + 4])
        chunks.append((raw[position + 4 : position + 8], raw[position + 8 : position + 8 + size]))
        position += 12 + size
    if not chunks:
        return spoil_bytes(raw, draw)
    place, kind = draw.randrange(len(chunks)), draw.randrange(6)
    name, content = chunks[place]
    if kind == 0:
        del chunks[place]
    elif kind == 1:
        chunks.insert(draw.randrange(len(chunks)), (name, content))
    elif kind == 2:
        names = (b"tRNS", b"PLTE", b"iCCP", b"eXIf", b"zTXt", b"iTXt", b"gAMA", b"acTL", b"fdAT", b"pHYs")
        chunks.insert(
            draw.randrange(len(chunks)), (draw.choice(names), draw.randbytes(draw.choice((0, 4, 60))))
        )
    elif kind == 3 and name == b"IHDR":
        chunks[place] = (
            name,
            struct.pack(">II", *draw.choices((0, 1, 9, 7000, 2**16, 2**31), k=2)) + content[8:],
        )
    else:
        chunks[place] = (name, spoil_bytes(content, draw))
    parts = [
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    ]
    return raw[:8] + b"".join(parts)
