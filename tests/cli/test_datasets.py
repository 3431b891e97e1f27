"""What was passed over in a folder is told: to people on stderr, and in the document."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import answer, invoke, reason


@pytest.fixture
def untidy(photos: Path, tmp_path: Path) -> Path:
    """The photos, with what a real folder holds beside them."""
    root = Path(shutil.copytree(photos, tmp_path / "photos"))
    shutil.copy(root / "one" / "0.png", root / "one" / "0_mask.png")
    shutil.copy(root / "one" / "0.png", tmp_path / "elsewhere.png")
    (root / "one" / "linked.png").symlink_to(tmp_path / "elsewhere.png")
    for name in ("Thumbs.db", ".DS_Store", "one/IMG_1.psd", "one/notes.txt"):
        (root / name).write_bytes(b"x")
    (root / "@eaDir").mkdir()
    (root / "runs" / "photos-1").mkdir(parents=True)
    (root / "runs" / "photos-1" / "model.safetensors").write_bytes(b"x")
    return root


PASSED_OVER = {
    "count": 7,
    "reasons": {
        "other_format": {"count": 1, "examples": ["one/IMG_1.psd"]},
        "mask": {"count": 1, "examples": ["one/0_mask.png"]},
        "no_image": {"count": 1, "examples": ["one/notes.txt"]},
        "system": {"count": 3, "examples": ["@eaDir/", "runs/", "Thumbs.db"]},
        "hidden": {"count": 1, "examples": [".DS_Store"]},
    },
}
LINKS_OUT = {"count": 1, "examples": ["one/linked.png"]}


def test_skipped_images_are_told(photos: Path, home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "photos"
    shutil.copytree(photos, copy)
    (copy / "one" / "bad.png").write_bytes(b"no image")
    assert "bad.png" in reason(invoke("query", copy, "--home", home))
    result = invoke("query", copy, "--home", home, "--on-bad-image", "skip", "--json")
    assert result.exit_code == 0
    assert "passed over 1 file or folder; unreadable or too large: 1 (one/bad.png)" in result.stderr
    document = json.loads(result.stdout)
    assert document["matches"]
    assert document["passed_over"]["reasons"] == {"unreadable": {"count": 1, "examples": ["one/bad.png"]}}


def test_a_query_tells_what_was_passed_over(untidy: Path, home: Path) -> None:
    result = invoke("query", untidy, "--home", home, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["passed_over"] == PASSED_OVER
    assert document["links_out"] == LINKS_OUT
    passed, links = result.stderr.splitlines()[:2]
    assert passed.startswith("passed over 7 files and folders; in a format that is not read")
    assert "of systems and tools: 3 (@eaDir/, runs/, Thumbs.db)" in passed
    assert links == "warning: links lead out of the dataset, and were followed: 1 (one/linked.png)"


def test_the_other_commands_tell_it_too(
    untidy: Path, finetuned: tuple[Path, Any], own: tuple[Path, str]
) -> None:
    settings = ("--epochs", 1, "--home", own[0])
    small = ("--set", "channels=2", "--set", "cells_per_stage=1")
    documents = [
        answer("evaluate", finetuned[0], untidy),
        answer("finetune", untidy, "--from", own[1], "--no-floor", *settings),
        answer("pretrain", untidy, *small, *settings),
    ]
    for document in documents:
        assert document["passed_over"] == PASSED_OVER
        assert document["links_out"] == LINKS_OUT


@pytest.fixture
def foreign(photos: Path, tmp_path: Path) -> Path:
    """The photos in a folder and in class folders whose names are no UTF-8, or would steer a terminal."""
    root = tmp_path / os.fsdecode("狗".encode("gbk"))
    names = ("é".encode(), "狗".encode("gbk"), b"a\nerror: b\x1b[31m")
    for source, name in zip(sorted(photos.iterdir()), names, strict=True):
        shutil.copytree(source, root / os.fsdecode(name))
    return root


NEEDS_ANY_BYTES = pytest.mark.skipif(sys.platform != "linux", reason="needs names that are no UTF-8")


@NEEDS_ANY_BYTES
def test_names_that_are_no_utf8_leave_a_valid_document(foreign: Path, home: Path) -> None:
    told = {
        pair["target"] for pair in answer("query", foreign, "--home", home)["matches"][0]["class_matches"]
    }
    assert told == {"é", "\\xb9\\xb7", "a\\nerror: b\\x1b[31m"}


@NEEDS_ANY_BYTES
def test_a_query_in_the_c_locale(foreign: Path, home: Path) -> None:
    # Beside busy processes threads would wait for each other.
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [
        sys.executable,
        "-m",
        "tests.cli.unseeded",
        "query",
        os.fsencode(foreign),
        "--home",
        str(home),
        "-k",
        "1",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"\\xb9\\xb7" in done.stdout
    assert b"\x1b" not in done.stdout and b"\nerror:" not in done.stdout + done.stderr
