"""Which files the IMAGE arguments name."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from snt_zoo.cli.images import listed
from snt_zoo.errors import DatasetError, DatasetNotFoundError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.jpg", "sub/c.PNG", "sub/deep/d.webp", "note.txt", ".hidden.png", "x[1].png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "in"


def names(paths: list[str]) -> list[str]:
    return [Path(path).name for path in paths]


def test_a_folder_stands_for_its_images_at_any_depth(folder: Path) -> None:
    assert set(names(listed([str(folder)]))) == {"a.jpg", "b.png", "c.PNG", "d.webp", "x[1].png"}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.png", ["b.png", "x[1].png"]),
        ("**/*.webp", ["d.webp"]),
        ("[ab].*", ["a.jpg", "b.png"]),
        ("s*", []),  # a folder is no file
        ("nothing*", []),
    ],
)
def test_a_pattern_stands_for_files(folder: Path, pattern: str, found: list[str]) -> None:
    if found:
        assert names(listed([str(folder / pattern)])) == found
    else:
        with pytest.raises(DatasetNotFoundError, match="no file fits the pattern"):
            listed([str(folder / pattern)])


def test_what_exists_is_no_pattern(folder: Path) -> None:
    assert names(listed([str(folder / "x[1].png")])) == ["x[1].png"]


def test_what_is_named_by_itself_is_taken_as_it_is(folder: Path) -> None:
    paths = [str(folder / "b.png"), str(folder / "gone.png"), str(folder / "b.png")]
    assert listed(paths) == paths


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_paths_on_the_standard_input(folder: Path, ending: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [str(folder / "b.png").encode(), b"", str(folder / "sub").encode(), b"caf\xe9.png"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ending.join(lines))))
    found = listed(["first.png", "-", "last.png"])
    assert names(found[:2]) == ["first.png", "b.png"]
    assert set(names(found[2:4])) == {"c.PNG", "d.webp"}
    assert found[4:] == ["caf\udce9.png", "last.png"]


def test_nothing_at_all_is_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n\n")))
    with pytest.raises(DatasetNotFoundError, match="names no image"):
        listed(["-"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetNotFoundError, match="holds no image"):
        listed([str(tmp_path / "empty")])
    with pytest.raises(DatasetError):
        listed([str(folder / "*.gif")])
