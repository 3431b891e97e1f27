from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from snt_zoo.data import decode_image, decoding
from snt_zoo.data.decoding import check_header
from snt_zoo.errors import OversizedImageError, SntZooError, UnreadableImageError

from .making import pixels


def _encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _decoded(content: bytes, size: int | None = None) -> NDArray[np.uint8]:
    """``(h, w, 3)``"""
    return decode_image(content, size=size).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_give_back_the_pixels(kind: str) -> None:
    content = pixels(7, 5, 3)
    options = {"lossless": True} if kind == "WEBP" else {}
    image = decode_image(_encoded(Image.fromarray(content), kind, **options))
    assert image.shape == (3, 7, 5)
    assert image.dtype == torch.uint8
    assert np.array_equal(image.permute(1, 2, 0).numpy(), content)


def test_a_path_and_its_bytes_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(_encoded(Image.fromarray(pixels(7, 5, 3))))
    for source in (path, str(path)):
        assert torch.equal(decode_image(source), decode_image(path.read_bytes()))


def test_grey_and_bilevel_give_equal_channels() -> None:
    grey = pixels(7, 5)
    assert np.array_equal(_decoded(_encoded(Image.fromarray(grey))), grey[..., None].repeat(3, 2))
    bits = Image.fromarray(grey > 127)
    assert bits.mode == "1"
    assert set(np.unique(_decoded(_encoded(bits)))) == {0, 255}


def _on_white(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float64]:
    weight = alpha[..., None].astype(np.float64) / 255
    return colour * weight + 255 * (1 - weight)


def test_transparency_is_laid_on_white() -> None:
    rgba = pixels(9, 9, 4)
    expected = _on_white(rgba[..., :3], rgba[..., 3])
    assert np.abs(_decoded(_encoded(Image.fromarray(rgba))) - expected).max() <= 1
    la = Image.merge("LA", [Image.fromarray(rgba[..., 0]), Image.fromarray(rgba[..., 3])])
    expected = _on_white(rgba[..., :1].repeat(3, 2), rgba[..., 3])
    assert np.abs(_decoded(_encoded(la)) - expected).max() <= 1


def test_a_transparent_colour_is_white() -> None:
    grey = np.tile(np.arange(4, dtype=np.uint8) * 50, (4, 1))
    palette = Image.fromarray(grey).convert("P")
    for kind in ("PNG", "GIF"):
        decoded = _decoded(_encoded(palette, kind, transparency=0))
        assert (decoded[:, 0] == 255).all()
        assert (decoded[:, 1] == 50).all()
    decoded = _decoded(_encoded(Image.fromarray(grey), transparency=100))
    assert decoded[0, :, 0].tolist() == [0, 50, 255, 150]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(kind: str) -> None:
    values = np.array([[0, 128, 129, 257, 256 * 128, 65535]], np.uint16)
    decoded = _decoded(_encoded(Image.fromarray(values), kind))
    assert decoded[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 1, 255]], np.int32), [0, 1, 255]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[-100, 0, 100]], np.int32), [0, 128, 255]),
        (np.array([[0, 0.2, 1]], np.float32), [0, 51, 255]),
        (np.array([[0, 51, 200]], np.float32), [0, 51, 200]),
        (np.array([[-1000, 0, 1000]], np.float32), [0, 128, 255]),
        (np.array([[7e9, 7e9, 7e9]], np.float32), [0, 0, 0]),
    ],
)
def test_wide_tiffs_are_scaled_by_their_range(values: NDArray[np.float64], expected: list[int]) -> None:
    assert _decoded(_encoded(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == expected


def test_a_tiff_of_nan_is_refused() -> None:
    image = Image.fromarray(np.full((2, 2), np.nan, np.float32))
    with pytest.raises(UnreadableImageError, match="not numbers"):
        decode_image(_encoded(image, "TIFF"))


# What each EXIF orientation asks a viewer to do with the stored (h, w, 3) pixels.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_images_stand_upright(orientation: int, kind: str) -> None:
    content = np.zeros((16, 32, 3), np.uint8)
    content[:8, :8] = 255  # a corner: no two orientations look the same
    content[:8, 8:16] = 128
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    decoded = _decoded(_encoded(Image.fromarray(content), kind, exif=exif.tobytes(), **options))
    expected = UPRIGHT[orientation](content)
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).max() <= 2


def test_sixteen_bits_with_an_orientation() -> None:
    values = (np.arange(6, dtype=np.uint16) * 51 * 257).reshape(2, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = _decoded(_encoded(Image.fromarray(values), exif=exif.tobytes()))
    assert np.array_equal(decoded[..., 0], np.rot90(values // 257, -1))


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        content = _encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert _decoded(content)[3, 3].tolist() == [255, 0, 0]


OLD_PILLOW = pytest.mark.skipif(
    int(PIL.__version__.split(".")[0]) < 13, reason="Pillow 12, the last for Python 3.10, cannot read them"
)


@pytest.mark.parametrize("mode", ["CMYK", pytest.param("YCbCr", marks=OLD_PILLOW)])
def test_other_colour_spaces_become_rgb(mode: str) -> None:
    image = Image.new("RGB", (16, 16), (200, 100, 50)).convert(mode)
    decoded = _decoded(_encoded(image, "TIFF"))
    assert np.abs(decoded[8, 8].astype(int) - (200, 100, 50)).max() <= 4


@pytest.mark.parametrize("size", [8, 20, 64])
def test_resizing_squashes_the_whole_image_like_pillow(size: int) -> None:
    for height, width in ((24, 40), (40, 24), (700, 30)):
        image = Image.fromarray(pixels(height, width, 3))
        expected = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0))
        off = np.abs(_decoded(_encoded(image), size).astype(int) - expected)
        # Pillow 13 goes down first where an image is tall, and we never do.
        assert off.max() <= (height > width)


def test_much_smaller_images_come_close_to_pillows_slow_way() -> None:
    image = Image.fromarray(pixels(300, 300, 3))  # noise is the worst case
    expected = np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(_decoded(_encoded(image), 8) - expected).max() <= 2


def test_a_jpeg_decoded_small_looks_like_the_whole(tmp_path: Path) -> None:
    smooth = Image.fromarray(pixels(6, 6, 3)).resize((400, 300), Image.Resampling.BICUBIC)
    content = _encoded(smooth, "JPEG", quality=95)
    expected = Image.open(io.BytesIO(content)).resize((32, 32), Image.Resampling.BILINEAR)
    difference = np.abs(_decoded(content, 32).astype(int) - np.asarray(expected))
    assert difference.mean() < 1
    assert difference.max() < 12


def _png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [100_000, 12_000, 8_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_header_that_claims_too_many_pixels_is_refused_undecoded(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    content = _png_claiming(side, side)
    for check in (decode_image, check_header):
        with pytest.raises(OversizedImageError, match=r"more (pixels )?than the limit of 50,000,000"):
            check(content)


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_pillows_own_warning_as_an_error_is_ours() -> None:
    with pytest.raises(OversizedImageError, match="--on-bad-image skip"):
        decode_image(_png_claiming(12_000, 12_000))


def test_the_limit_of_pixels_is_the_callers() -> None:
    content = _encoded(Image.new("L", (10, 10)))
    assert decode_image(content, max_pixels=100).shape == (3, 10, 10)
    with pytest.raises(OversizedImageError, match="10 × 10 pixels"):
        decode_image(content, max_pixels=99)


def test_too_many_bytes_are_refused(tmp_path: Path) -> None:
    content = _encoded(Image.new("L", (10, 10)))
    path = tmp_path / "x.png"
    path.write_bytes(content)
    for source in (content, path):
        with pytest.raises(OversizedImageError, match="bytes, more than the limit of 50"):
            decode_image(source, max_bytes=50)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
def test_a_truncated_image_is_refused(kind: str) -> None:
    content = _encoded(Image.fromarray(pixels(40, 40, 3)), kind)
    with pytest.raises(UnreadableImageError, match="cannot read an image of"):
        decode_image(content[: len(content) // 2])


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_of_a_long_file_the_header_alone_is_checked(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    content = _encoded(Image.fromarray(pixels(420, 420, 3)), kind, **options)
    cut = content[: max(len(content) * 9 // 10, 257 * 2**10)]
    assert 257 * 2**10 <= len(cut) < len(content)
    check_header(cut)
    with pytest.raises(UnreadableImageError, match="cannot read an image of"):
        decode_image(cut)


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    for content in (b"", b"text", eps):
        with pytest.raises(UnreadableImageError, match="none of PNG, JPEG"):
            decode_image(content)
    with pytest.raises(UnreadableImageError, match="not a regular file"):
        decode_image(tmp_path)
    with pytest.raises(UnreadableImageError, match="No such file"):
        decode_image(tmp_path / "gone.png")


SAMPLES = [
    _encoded(Image.fromarray(pixels(12, 12, 4 if kind in ("PNG", "WEBP") else 3)), kind)
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM")
]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow tells of what it passes over
@given(data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_damage_of_any_kind_gives_an_error_of_ours(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    _only_errors_of_ours(check_header, bytes(content))
    _only_errors_of_ours(decode_image, bytes(content))


def _only_errors_of_ours(use: Callable[..., object], content: bytes) -> None:
    try:
        use(content, max_pixels=10_000)
    except SntZooError as error:
        assert "\n" not in str(error)


def _jpegs() -> dict[str, bytes]:
    """One photograph of 1600 × 1200 pixels as cameras, telephones and printers store it."""
    image = Image.fromarray(pixels(12, 16, 3)).resize((1600, 1200), Image.Resampling.BICUBIC)
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "colour": _encoded(image, "JPEG"),
        "grey": _encoded(image.convert("L"), "JPEG"),
        "CMYK": _encoded(image.convert("CMYK"), "JPEG"),
        "progressive": _encoded(image, "JPEG", progressive=True),
        "turned": _encoded(image, "JPEG", exif=turned.tobytes()),
        "two in one file": _encoded(image, "MPO", save_all=True, append_images=[image.rotate(180)]),
    }


@pytest.mark.parametrize("kind", _jpegs())
def test_every_kind_of_jpeg_is_decoded_at_a_fraction_of_its_size(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    inner = decoding.pixels_of

    def spy(image: Image.Image, *rest: Any) -> torch.Tensor:
        image.load()
        seen.append(image.size)
        return inner(image, *rest)

    monkeypatch.setattr(decoding, "pixels_of", spy)
    small, whole = _decoded(_jpegs()[kind], size=64), _decoded(_jpegs()[kind])
    assert seen == [(200, 150), (1600, 1200)]  # an eighth is still twice what was asked for
    assert small.shape == (64, 64, 3)
    slow = np.asarray(Image.fromarray(whole).resize((64, 64), Image.Resampling.BOX)).astype(int)
    assert np.abs(small - slow).mean() < 3
