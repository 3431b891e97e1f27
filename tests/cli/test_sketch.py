"""`snt-zoo sketch`: a file for each dataset, named on the command line or in a list."""

from __future__ import annotations

import json
from pathlib import Path

from snt_zoo.registry.bundle.sketch_file import load_sketch
from tests.conftest import SAMPLES

from .conftest import answer, invoke, reason


def test_datasets_of_a_list_are_sketched_once(photos: Path, tmp_path: Path) -> None:
    listed = tmp_path / "datasets.txt"
    listed.write_text(f"# mine\n{photos}\n\n{SAMPLES / 'textile_sim.npz'}\n", encoding="utf-8")
    first = answer("sketch", "--many", listed, "--out", tmp_path / "s")
    assert (first["sketched"], first["there"], first["failed"]) == (2, 0, [])
    assert {load_sketch(path.read_bytes()).name for path in (tmp_path / "s").iterdir()} == {
        "photos",
        "textile_sim",
    }
    again = answer("sketch", photos, "--many", listed, "--out", tmp_path / "s")
    assert (again["sketched"], again["there"]) == (0, 2)


def test_what_fails_is_told_and_ends_no_other(photos: Path, tmp_path: Path) -> None:
    result = invoke("sketch", tmp_path / "gone", photos, "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["sketched"] == 1
    (failed,) = document["failed"]
    assert failed["dataset"] == str(tmp_path / "gone") and "gone" in failed["reason"]
    assert "failed: " in result.stderr
    assert len(list((tmp_path / "sketches").iterdir())) == 1


def test_nothing_to_sketch_is_wrong_usage(tmp_path: Path) -> None:
    assert "--many" in reason(invoke("sketch"), 2)
    assert "no executor 'moon'" in reason(invoke("sketch", SAMPLES / "textile_sim.npz", "--on", "moon"))
