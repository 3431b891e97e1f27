"""A saved model loads as it was, and anything else is refused in one line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import snt_zoo
from benchmarks.limits import files_of_at_most, read_only
from snt_zoo.data import ImageDataset
from snt_zoo.errors import ModelFolderError
from snt_zoo.networks.model_folder import check_writable, model_files, write_into
from snt_zoo.search.budget import Budget
from tests.conftest import TINY, MakeSupernet
from tests.search.runs import finetune


@pytest.fixture
def saved(tmp_path: Path, make_supernet: MakeSupernet, few_digits: ImageDataset) -> Path:
    result = finetune(few_digits, make_supernet(TINY["nas_bench_201"]), budget=Budget(epochs=1))
    return result.save(tmp_path / "model")


def edit(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_a_damaged_folder_is_refused(saved: Path) -> None:
    weights = saved / "model.safetensors"
    good = load_file(weights)
    name = "head.weight"
    for wrong, message in (
        (good | {name: good[name][:3].clone()}, "head.weight differ"),
        (good | {"extra": torch.zeros(1)}, "extra differ"),
        (good | {name: good[name].half()}, "head.weight differ"),
        (good | {name: good[name] * float("nan")}, "NaN or infinity in head.weight"),
    ):
        save_file(wrong, weights)
        with pytest.raises(ModelFolderError, match=message):
            snt_zoo.load_model(saved)
    weights.write_bytes(b"not safetensors")
    with pytest.raises(ModelFolderError, match="cannot be read"):
        snt_zoo.load_model(saved)
    weights.unlink()
    with pytest.raises(ModelFolderError, match="lacks model"):
        snt_zoo.load_model(saved)


def test_a_hostile_header_is_refused_before_the_library_sees_it(saved: Path) -> None:
    weights = saved / "model.safetensors"
    raw = weights.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    entry = json.dumps({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})
    many = "{" + ",".join(f'"{i}":{entry}' for i in range(50_000)) + "}"
    twice = raw[8 : 8 + length].rstrip()[:-1] + b',"x":' + entry.encode() + b',"x":' + entry.encode() + b"}"
    for header, message in ((many.encode(), "header must have at most"), (twice, "stands there twice")):
        weights.write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + length :])
        with pytest.raises(ModelFolderError, match=message):
            snt_zoo.load_model(saved)


def test_a_foreign_or_damaged_description_is_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="holds no config"):
        snt_zoo.load_model(tmp_path / "nothing")
    config = saved / "config.json"
    original = config.read_text()
    for change, message in (
        (lambda c: c.update(version=99), "upgrade snt-zoo"),
        (lambda c: c.update(format="something"), "is not a model"),
        (lambda c: c.update(class_names=["one"]), "class names for 10 outputs"),
        (lambda c: c.pop("network"), "does not describe a network"),
        (lambda c: c["network"].update(hyperparameters={"channels": 10**9}), "does not describe"),
        (lambda c: c["network"].update(space="resnet"), "does not describe a network"),
        (lambda c: c["network"].update(hyperparameters=["channels"]), "does not describe a network"),
        (lambda c: c.update(accuracy={"val": 10**400}), "does not describe a network"),
        (lambda c: c.update(accuracy={"val": []}), "does not describe a network"),
    ):
        edit(config, change)
        with pytest.raises(ModelFolderError, match=message):
            snt_zoo.load_model(saved)
        config.write_text(original)
    config.write_text('{"format": 1, "format": 2}')
    with pytest.raises(ModelFolderError, match="stands there twice"):
        snt_zoo.load_model(saved)
    config.write_text("[" * 100_000)
    with pytest.raises(ModelFolderError, match="cannot be read"):
        snt_zoo.load_model(saved)
    config.write_text(original)
    (saved / "genotype.json").write_text("{}")
    with pytest.raises(ModelFolderError, match="genotype must be"):
        snt_zoo.load_model(saved)


def test_a_class_name_or_a_folder_that_is_no_utf8_loses_no_model(
    tmp_path: Path, make_supernet: MakeSupernet, few_digits: ImageDataset
) -> None:
    names = ("caf\udce9", "\ud83d", "中文", "a\nb", *few_digits.class_names[4:])
    data = dataclasses.replace(few_digits, class_names=names)
    for out in (tmp_path / "caf\udce9", tmp_path / "plain", tmp_path / "neu" / "中"):
        result = finetune(data, make_supernet(TINY["nas_bench_201"]), budget=Budget(epochs=1), folder=out)
        result.save(out)
        assert snt_zoo.load_model(out).class_names == names
        assert json.loads((out / "report.json").read_bytes())["class_names"] == list(names)
        (out / "report.html").read_text("utf-8")


def test_what_cannot_be_written_is_told_before_a_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "closed").mkdir()
    for name in ("file", "file/below", "x" * 256, "nul\0"):
        with pytest.raises((ModelFolderError, ValueError)):
            check_writable(tmp_path / name)
    with (
        read_only(tmp_path / "closed"),
        pytest.raises(ModelFolderError, match=r"Permission denied.*another --out"),
    ):
        check_writable(tmp_path / "closed" / "new")
    with files_of_at_most(0):
        check_writable(tmp_path / "new")  # whether there is room shows later
    assert list((tmp_path / "new").iterdir()) == []


def test_a_full_disk_leaves_no_half_model(saved: Path) -> None:
    loaded = snt_zoo.load_model(saved)
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    files = model_files(loaded.model, class_names=["x"] * 10, source="scratch", accuracy={})
    for room in (10, 1000, len(before["model.safetensors"]) - 1):
        with files_of_at_most(room), pytest.raises(ModelFolderError, match=r"File too large\): make room"):
            write_into(saved, files)
        assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
