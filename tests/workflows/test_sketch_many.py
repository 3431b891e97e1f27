from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.data import open_dataset
from snt_zoo.encoders.sketch import sketch
from snt_zoo.errors import ExecutorError
from snt_zoo.registry.bundle.sketch_file import dump_sketches, load_sketch
from snt_zoo.workflows.sketch_many import sketch_many, sketch_name
from tests.conftest import SAMPLES

GOOD = [str(SAMPLES / name) for name in ("textile_sim.npz", "font_arabic.npz")]


def test_each_is_sketched_once_and_one_that_fails_ends_no_other(tmp_path: Path) -> None:
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"no archive")
    out = tmp_path / "made" / "sketches"
    ended = {each.task: each for each in sketch_many([GOOD[0], str(broken), *GOOD], out, workers=2)}
    assert ended.keys() == {*GOOD, str(broken)}
    assert "broken.npz" in str(ended[str(broken)].error)
    for ref in GOOD:
        path = ended[ref].result
        assert path == out / sketch_name(ref)
        made = load_sketch(path.read_bytes())
        assert made.name == Path(ref).stem
        assert path.read_bytes() == dump_sketches([sketch(open_dataset(ref))])  # as in this process
    assert {path.name for path in out.iterdir()} == {sketch_name(ref) for ref in GOOD}
    kept = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    (again,) = sketch_many([*GOOD, str(broken)], out)  # what failed is tried again, the others stay
    assert again.error is not None
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == kept


def test_every_dataset_has_a_file_of_its_own() -> None:
    refs = ["a/photos", "b/photos", "hf:owner/photos", "torchvision:MNIST", "photos/", "../photos", "hf:ä/ö"]
    names = {sketch_name(ref) for ref in refs}
    assert len(names) == len(refs)
    assert all(name.isascii() and "/" not in name and ":" not in name for name in names)
    assert len(sketch_name("x" * 300)) < 100


def test_an_unknown_place_is_named_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(ExecutorError, match="no executor 'slurm'"):
        list(sketch_many(GOOD, tmp_path, on="slurm"))
    assert list(tmp_path.iterdir()) == []
