"""Decodes one image that comes from anywhere, safely, to eight-bit RGB.

The header is judged before a pixel is decoded: a file of 100 bytes can claim 10^10 pixels.
Only the formats of `signatures` are tried, so that no file reaches an interpreter (EPS) or a rare plugin.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from snt_zoo.data.signatures import format_of_content, readable_formats
from snt_zoo.errors import DatasetError, OversizedImageError, UnreadableImageError, first_line

MAX_PIXELS = 50_000_000
MAX_BYTES = 256 * 2**20

_GO_ON = "leave it out with --on-bad-image skip, or store it smaller"
_RESAMPLING = Image.Resampling.BILINEAR  # Pillow's takes the mean of the area when it makes smaller


def decode_image(
    source: str | os.PathLike[str] | bytes,
    *,
    size: int | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> Tensor:
    """Decodes an image: upright by its EXIF tag, on white where it is transparent, first frame.

    Args:
        source: A path, or the encoded bytes.
        size: Side of the square to which it is squashed; none keeps its size.
        max_pixels: Most pixels that the header may claim. Pillow's own limit, twice
            `PIL.Image.MAX_IMAGE_PIXELS`, holds too.
        max_bytes: Most bytes that the encoded image may have.

    Returns:
        uint8 ``(3, h, w)``; grey gives three equal channels, more than eight bits are scaled.

    Raises:
        OversizedImageError: There are more pixels or bytes than the limit.
        UnreadableImageError: The file cannot be read or decoded.

    Example:
        >>> decode_image(b"P5 2 1 255 " + bytes([0, 255]))[0]
        tensor([[  0, 255]], dtype=torch.uint8)
    """
    with _opened(source, max_pixels=max_pixels, max_bytes=max_bytes) as image:
        if size is not None:
            # JPEG decodes at 1/2, 1/4 or 1/8 for little; twice the size leaves the filter its work.
            image.draft("RGB", (2 * size, 2 * size))
        return pixels_of(image, size)


def check_header(
    source: str | os.PathLike[str] | bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Checks what can be told without decoding: sizes, format and, for PNG, checksums.

    Raises:
        OversizedImageError, UnreadableImageError: As `decode_image`.
    """
    with _opened(source, max_pixels=max_pixels, max_bytes=max_bytes) as image:
        image.verify()


def pixels_of(image: Image.Image, size: int | None = None) -> Tensor:
    """An opened image as uint8 ``(3, h, w)``, squashed to ``size`` a side if it is given."""
    ImageOps.exif_transpose(image, in_place=True)
    image = _as_rgb(_as_eight_bits(image))
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), _RESAMPLING, reducing_gap=3.0)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@contextmanager
def _opened(
    source: str | os.PathLike[str] | bytes, *, max_pixels: int, max_bytes: int
) -> Iterator[Image.Image]:
    name = f"an image of {len(source)} bytes" if isinstance(source, bytes) else os.fspath(source)
    try:
        with (
            _stream(source, name, max_bytes) as stream,
            Image.open(stream, formats=readable_formats()) as image,
        ):
            width, height = image.size
            if width * height > max_pixels:
                raise OversizedImageError(
                    f"{name} has {width} × {height} pixels, more than the limit of {max_pixels:,}; {_GO_ON}"
                )
            yield image
    except DatasetError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OversizedImageError(
            f"{name} has more pixels than the limit of {max_pixels:,}; {_GO_ON}"
        ) from error
    except Exception as error:
        # On a damaged or crafted file Pillow's plugins raise nearly anything: OSError, SyntaxError,
        # struct.error, IndexError, zlib.error, MemoryError, …
        reason = first_line(error)
        if isinstance(error, UnidentifiedImageError):
            reason = f"it is none of {', '.join(readable_formats())}"
            if format_of_content(source) == "HEIF" and "HEIF" not in readable_formats():
                reason = "it is HEIC, which is read after pip install 'snt-zoo[heic]'"
        raise UnreadableImageError(
            f"cannot read {name} as an image: {reason}; remove or replace it, or leave it out with "
            "--on-bad-image skip"
        ) from error


def _stream(source: str | os.PathLike[str] | bytes, name: str, max_bytes: int) -> BinaryIO:
    if isinstance(source, bytes):
        length = len(source)
    else:
        status = Path(source).stat()
        if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for ever
            raise UnreadableImageError(f"{name} is not a regular file; remove it from the dataset")
        length = status.st_size
    if length > max_bytes:
        raise OversizedImageError(
            f"{name} has {length:,} bytes, more than the limit of {max_bytes:,}; {_GO_ON}"
        )
    return io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")


def _as_rgb(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def _as_eight_bits(image: Image.Image) -> Image.Image:
    """Scales grey of more than eight bits (Pillow's ``convert`` would clip it at 255)."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not numbers")
    low, high = float(values.min()), float(values.max())
    if image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif image.mode != "F" and low >= 0 and high <= 65535:
        # Pillow gives sixteen-bit PNG and PGM as I;16 or I, by its version; only a TIFF's 32-bit
        # integers may be meant as eight bits.
        eight_bits = image.format == "TIFF" and image.mode == "I" and high <= 255
        low, high = 0.0, 255.0 if eight_bits else 65535.0
    elif low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    # Beyond any usual range (elevations, counts) only the image's own range is left to go by.
    scaled = (values - low) * 255.0 / max(high - low, 1e-12)
    return Image.fromarray(np.rint(scaled).astype(np.uint8))
