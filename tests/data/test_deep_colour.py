"""Sixteen-bit colour is scaled by the bits that are filled."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from snt_zoo.data import Rendering, decode_image, open_dataset
from snt_zoo.data import deep_colour as module
from snt_zoo.data.decoding import opened
from snt_zoo.data.deep_colour import fill, look_at

Values = NDArray[np.uint16]


def colours(bits: int, *, alpha: bool = False) -> Values:
    """``(8, 6, 3)`` or ``(8, 6, 4)``"""
    plane = np.linspace(0, 2**bits - 1, 48).astype(np.uint16).reshape(8, 6)
    planes = [plane, plane[::-1], plane[:, ::-1]] + [np.full_like(plane, 65535)] * alpha
    return np.stack(planes, -1)


def png(values: Values) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    height, width, bands = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[bands], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def tiff(values: Values, *, order: str, packed: bool) -> bytes:
    height, width, bands = values.shape
    content = values.astype(order + "u2").tobytes()
    content = zlib.compress(content) if packed else content
    count = 9 + (bands == 4)
    start = 8 + 2 + 12 * count + 4

    def short(value: int) -> bytes:
        return struct.pack(order + "HH", value, 0)

    def long(value: int) -> bytes:
        return struct.pack(order + "I", value)

    entries = [
        (256, 3, 1, short(width)), (257, 3, 1, short(height)), (258, 3, bands, long(start)),
        (259, 3, 1, short(8 if packed else 1)), (262, 3, 1, short(2)), (273, 4, 1, long(start + 2 * bands)),
        (277, 3, 1, short(bands)), (278, 3, 1, short(height)), (279, 4, 1, long(len(content))),
    ]  # fmt: skip
    if bands == 4:
        entries.append((338, 3, 1, short(2)))
    table = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    mark = b"MM\0*" if order == ">" else b"II*\0"
    depths = struct.pack(order + f"{bands}H", *[16] * bands)
    return mark + long(8) + struct.pack(order + "H", count) + table + bytes(4) + depths + content


ENCODED = {
    "png": png,
    "tiff": lambda values: tiff(values, order="<", packed=False),
    "tiff, other end": lambda values: tiff(values, order=">", packed=False),
    "tiff, packed": lambda values: tiff(values, order="<", packed=True),
    "tiff, packed, other end": lambda values: tiff(values, order=">", packed=True),
}


@pytest.mark.parametrize("encode", ENCODED.values(), ids=ENCODED)
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_few_bits_are_scaled_to_the_nearest(encode: object, alpha: bool, bits: int) -> None:
    values = colours(bits, alpha=alpha)
    decoded = decode_image(encode(values)).permute(1, 2, 0).numpy()  # type: ignore[operator]
    assert np.array_equal(decoded, np.rint(values[..., :3] * 255.0 / (2**bits - 1)))


@pytest.mark.parametrize("encode", ENCODED.values(), ids=ENCODED)
def test_sixteen_bits_are_taken_as_pillow_does(encode: object) -> None:
    content = encode(colours(16))  # type: ignore[operator]
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert np.array_equal(decode_image(content).permute(1, 2, 0).numpy(), expected)


def test_other_images_are_left_alone() -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (1, 2, 3)).save(file, "PNG")
    assert fill(Image.open(file)) == 0
    assert fill(Image.new("RGB", (4, 4))) == 0
    assert decode_image(file.getvalue())[:, 0, 0].tolist() == [1, 2, 3]


def test_strips_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    content = png(colours(12))
    whole = decode_image(content)
    monkeypatch.setattr(module, "STRIP", 7)
    assert (decode_image(content) == whole).all()


def test_images_of_a_dataset_are_scaled_alike(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(6):
            values = colours(12) // (1 if number == 2 else 20 + number)
            (tmp_path / name / f"{number}.png").write_bytes(png(values))
    dataset = open_dataset(tmp_path)
    assert dataset.rendering == Rendering(bits=12)
    dark = decode_image(tmp_path / "a" / "0.png", rendering=dataset.rendering)
    assert dark.max() == round(4095 // 20 * 255 / 4095)
    with opened(tmp_path / "a" / "2.png") as image:
        assert look_at(image).bits == 12
