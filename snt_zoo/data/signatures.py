"""Which files are images, by their name or else by their first bytes, and which of them can be read here."""

from __future__ import annotations

import importlib
import os
import re
import stat
from functools import cache
from pathlib import Path

from PIL import features

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""Formats that are always read, as Pillow names them."""

_SUFFIXES = {
    "PNG": "png apng",
    "JPEG": "jpg jpeg jpe jfif jfi jif",
    "BMP": "bmp dib",
    "GIF": "gif",
    "WEBP": "webp",
    "TIFF": "tif tiff",
    "PPM": "ppm pgm pbm pnm",
    "HEIF": "heic heif hif heics heifs",
    "AVIF": "avif avifs",
    # Pictures and films that are never read. Raw photographs begin as a TIFF does, which holds their preview.
    "": "3fr ai arw avi cr2 cr3 crw dcm dng eps exr ico j2k jp2 jxl m4v mkv mov mp4 nef nii nrw orf pcx pef "
    "psd raf raw rw2 srw svg tga webm xcf",
}
_BY_SUFFIX = {f".{suffix}": name for name, all in _SUFFIXES.items() for suffix in all.split()}

# A dataset may hold a text file for each image: to open them all would double the time of a listing.
_NO_IMAGES = (
    ".txt",
    ".csv",
    ".tsv",
    ".json",
    ".jsonl",
    ".xml",
    ".yaml",
    ".yml",
    ".md",
    ".html",
    ".py",
    ".log",
)

_LONGEST = 128  # bytes that are looked at
_BEGINNINGS = (
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("WEBP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("BMP", re.compile(rb"BM....\0\0\0\0", re.DOTALL)),
    ("PPM", re.compile(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s")),
    ("HEIF", re.compile(rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL)),
    ("AVIF", re.compile(rb"....ftypavi[fs]", re.DOTALL)),
)


@cache
def readable_formats() -> tuple[str, ...]:
    """`FORMATS`, and those for which there is a library here: AVIF, and HEIF by the extra `heic`."""
    found = (*FORMATS, "AVIF") if features.check("avif") else FORMATS
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return found
    return (*found, "HEIF")


def format_of(path: str) -> str | None:
    """The format of an image by its suffix, or of a file with an unusual one by its first bytes.

    Returns:
        Pillow's name of the format; "" for a picture in one that is never read; None for no image.
    """
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122  (a Path for each of a million files is slow)
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    return None if suffix in _NO_IMAGES else format_of_content(path)


def format_of_content(source: str | os.PathLike[str] | bytes) -> str | None:
    """The format that a file or encoded bytes have by how they begin, if it is an image's."""
    beginning = source[:_LONGEST] if isinstance(source, bytes) else _beginning(Path(source))
    return next((name for name, pattern in _BEGINNINGS if pattern.match(beginning)), None)


def _beginning(file: Path) -> bytes:
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # to open a pipe would wait for ever
            return b""
        with file.open("rb") as stream:
            return stream.read(_LONGEST)
    except OSError:
        return b""
