from __future__ import annotations

import importlib.util
import io
import os
from pathlib import Path

import pytest
from PIL import Image, features

from snt_zoo.data.decoding import decode_image
from snt_zoo.data.signatures import FORMATS, format_of, format_of_content, readable_formats
from snt_zoo.errors import UnreadableImageError

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
needs_heif = pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="needs snt-zoo[heic]")


def _encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_what_pillow_writes_is_known_by_how_it_begins(kind: str, tmp_path: Path) -> None:
    content = _encoded(kind)
    assert format_of_content(content) == kind
    for name in ("image", "image.jpg_large", "IMG.2024", "image.dat"):
        (tmp_path / name).write_bytes(content)
        assert format_of(str(tmp_path / name)) == kind
        decode_image(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x.jfif", "JPEG"),
        ("x.JPE", "JPEG"),
        ("x.y.png", "PNG"),
        ("x.HEIC", "HEIF"),
        ("x.hif", "HEIF"),
        ("x.avif", "AVIF"),
        ("x.psd", ""),
        ("x.CR2", ""),
        ("x.svg", ""),
        ("x.txt", None),
        ("gone", None),
    ],
)
def test_a_usual_suffix_says_enough(name: str, kind: str | None) -> None:
    assert format_of(name) == kind


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"P5 is a text",
        b"BMW is a car",
        b"\0\0\0\x18ftypmp42\0\0\0\0",
        b"RIFF1234WAVE",
        b"%PDF-1.7",
    ],
)
def test_other_files_are_no_images(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert format_of(str(tmp_path / "file")) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_nobody_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert format_of(str(tmp_path / "pipe")) is None
    assert format_of(str(tmp_path)) is None


def test_optional_formats_are_read_where_there_is_a_library() -> None:
    found = readable_formats()
    assert found[: len(FORMATS)] == FORMATS
    assert ("AVIF" in found) == features.check("avif")
    assert ("HEIF" in found) == (importlib.util.find_spec("pillow_heif") is not None)


@pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is not None, reason="HEIC is read here")
def test_heic_without_its_library_says_how_to_get_it() -> None:
    with pytest.raises(
        UnreadableImageError, match=r"it is HEIC, which is read after pip install 'snt-zoo\[heic\]'"
    ):
        decode_image(HEIC)


@needs_heif
def test_heic_is_read_with_its_library(tmp_path: Path) -> None:
    assert "HEIF" in readable_formats()
    content = _encoded("HEIF")
    assert format_of_content(content) == "HEIF"
    (tmp_path / "x.HEIC").write_bytes(content)
    assert decode_image(tmp_path / "x.HEIC").shape == (3, 9, 9)
