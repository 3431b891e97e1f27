"""Decodes one image that comes from anywhere, safely, to eight-bit RGB.

The header is judged before a pixel is decoded: a file of 100 bytes can claim 10^10 pixels.
Only the formats of `signatures` are tried, so that no file reaches an interpreter (EPS) or a rare plugin.
"""

from __future__ import annotations

import io
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from snt_zoo.data.deep_colour import fill
from snt_zoo.data.rendering import PLAIN, Rendering
from snt_zoo.data.signatures import format_of_content, readable_formats
from snt_zoo.errors import DatasetError, OversizedImageError, UnreadableImageError, first_line

MAX_PIXELS = 50_000_000
MAX_BYTES = 256 * 2**20

# A longer file is not read to its end before it is looked at: of 20,000 photographs that would be 80 GB.
_CHECKED_WHOLE = 256 * 2**10
_OPENED_WHOLE = ("WEBP", "HEIF", "AVIF")  # formats whose plugins read a file to its end to tell its size

GAP = 3
"""Sides of an answer that means of blocks leave to the triangles (`reducing_gap` of Pillow)."""

_GO_ON = "leave it out with --on-bad-image skip, or store it smaller"
_RESAMPLING = Image.Resampling.BILINEAR  # Pillow's takes the mean of the area when it makes smaller


def decode_image(
    source: str | os.PathLike[str] | bytes,
    *,
    size: int | None = None,
    draft: int | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    rendering: Rendering = PLAIN,
) -> Tensor:
    """Decodes an image: upright by its EXIF tag, first frame, without transparency.

    Args:
        source: A path, or the encoded bytes.
        size: Side of the square to which it is squashed; none keeps its size.
        draft: Pixels a side that are enough of a JPEG, which is decoded at 1/2, 1/4 or 1/8 for little; by
            default `draft_side` of the size.
        max_pixels: Most pixels that the header may claim.
        max_bytes: Most bytes that the encoded image may have.
        rendering: What is laid below transparency, and how values of more than eight bits are scaled; that
            of the dataset, or of the network that is asked (`LoadedModel.rendering`).

    Returns:
        uint8 ``(3, h, w)``; grey gives three equal channels, more than eight bits are scaled.

    Raises:
        OversizedImageError: There are more pixels or bytes than the limit.
        UnreadableImageError: The file cannot be read or decoded.

    Example:
        >>> decode_image(b"P5 2 1 255 " + bytes([0, 255]))[0]
        tensor([[  0, 255]], dtype=torch.uint8)
    """
    with opened(source, max_pixels=max_pixels, max_bytes=max_bytes) as image:
        if draft is None and size is not None:
            draft = draft_side(size)
        if draft is not None:
            image.draft("RGB", (draft, draft))
        fill(image, rendering)
        return pixels_of(image, size, rendering)


def draft_side(size: int) -> int:
    """Pixels a side at which a JPEG is decoded for a size: twice that leaves the filter its work."""
    return 2 * size


def check_header(
    source: str | os.PathLike[str] | bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Checks what can be told without decoding: sizes, format and, for PNG up to 256 KB, checksums.

    Of a longer file only the header is read; of a longer WebP, HEIC or AVIF, how it begins.

    Raises:
        OversizedImageError, UnreadableImageError: As `decode_image`.
    """
    long = _length(source) > _CHECKED_WHOLE
    if long and format_of_content(source) in _OPENED_WHOLE:
        return
    with opened(source, max_pixels=max_pixels, max_bytes=max_bytes) as image:
        if not long:
            image.verify()


def _length(source: str | os.PathLike[str] | bytes) -> int:
    try:
        return len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    except OSError:
        return 0  # who opens it will tell


def pixels_of(image: Image.Image, size: int | None = None, rendering: Rendering = PLAIN) -> Tensor:
    """An opened image as uint8 ``(3, h, w)``, squashed to ``size`` a side if it is given."""
    ImageOps.exif_transpose(image, in_place=True)
    image = rendering.flat(image)
    if size is not None and image.size != (size, size):
        image = squashed(image, size)
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def squashed(image: Image.Image, size: int) -> Image.Image:
    """An eight-bit image as a square: by means of blocks from six times the size on, then by triangles.

    As ``resize(…, reducing_gap=3)``, but across first and then down, whatever the shape: Pillow 13 goes down
    first where that is less work, which rounds otherwise than earlier ones, and than exported networks do
    (`snt_zoo.networks.export.resampling`).
    """
    width, height = image.size
    over, by = max(1, width // (GAP * size)), max(1, height // (GAP * size))
    if (over, by) != (1, 1):
        image = Image.Image.reduce(image, (over, by))
    image = image.resize((size, image.height), _RESAMPLING, (0, 0, width / over, image.height))
    return image.resize((size, size), _RESAMPLING, (0, 0, size, height / by))


@contextmanager
def opened(
    source: str | os.PathLike[str] | bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> Iterator[Image.Image]:
    """An image whose header was read and judged, for as long as it is looked at; see `decode_image`.

    Raises:
        OversizedImageError: There are more pixels or bytes than the limit.
        UnreadableImageError: The file cannot be read, or what is done with the image fails.
    """
    name = f"an image of {len(source)} bytes" if isinstance(source, bytes) else os.fspath(source)
    try:
        with (
            _stream(source, name, max_bytes) as stream,
            _identified(stream) as image,
        ):
            width, height = image.size
            if width * height > max_pixels:
                raise OversizedImageError(
                    f"{name} has {width} × {height} pixels, more than the limit of {max_pixels:,}; {_GO_ON}"
                )
            yield image
    except DatasetError:
        raise
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


def _identified(stream: BinaryIO) -> Image.Image:
    """`Image.open`, without the warning by which it judges sizes: that would stand beside our one line."""
    Image.preinit()
    prefix = stream.read(16)
    for kind in readable_formats():
        if kind not in Image.OPEN:
            Image.init()  # takes longer: most files need no rare plugin
        factory, accepts = Image.OPEN[kind]
        accepted = accepts is None or accepts(prefix)
        if not accepted or isinstance(accepted, str):  # a text says what Pillow was built without
            continue
        stream.seek(0)
        try:
            return factory(stream, "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue  # it only began like one
    raise UnidentifiedImageError


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
