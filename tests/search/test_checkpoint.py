"""A checkpoint is the old one or the new one, never half."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from benchmarks.limits import files_of_at_most
from snt_zoo.errors import ResumeError, UnwritableError
from snt_zoo.search import checkpoint
from snt_zoo.search.checkpoint import CHECKPOINT, PARTIAL, load_checkpoint, save_checkpoint


@pytest.mark.parametrize("place", ["save_file", "sync_file", "json"])
def test_a_crash_while_a_checkpoint_is_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    save_checkpoint(tmp_path, {"a": torch.ones(3)}, {"number": 1})

    def crash(*args: object, **kwargs: object) -> None:
        (tmp_path / PARTIAL).write_bytes(b"half")
        raise OSError

    if place == "json":
        monkeypatch.setattr(checkpoint.json, "dumps", crash)
    else:
        monkeypatch.setattr(checkpoint, place, crash)
    with pytest.raises(OSError):
        save_checkpoint(tmp_path, {"a": torch.zeros(3)}, {"number": 2})
    tensors, meta = load_checkpoint(tmp_path)
    assert torch.equal(tensors["a"], torch.ones(3)) and meta["number"] == 1
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_what_a_killed_writer_left_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / PARTIAL).write_bytes(b"half")
    save_checkpoint(tmp_path, {"a": torch.ones(3)}, {"number": 1})
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    (tmp_path / PARTIAL).write_bytes(b"half")
    assert load_checkpoint(tmp_path)[1]["number"] == 1
    checkpoint.remove_checkpoint(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_version_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 1)
        save_checkpoint(tmp_path, {"a": torch.ones(3)}, {})
    with pytest.raises(ResumeError, match="another version"):
        load_checkpoint(tmp_path)


def test_a_full_disk_is_told_in_one_line_and_the_checkpoint_before_stays(tmp_path: Path) -> None:
    with files_of_at_most(1000), pytest.raises(UnwritableError, match=r"File too large.*start again"):
        save_checkpoint(tmp_path / "new", {"a": torch.ones(9999)}, {})
    save_checkpoint(tmp_path, {"a": torch.ones(3)}, {"number": 1})
    with (
        files_of_at_most(1000),
        pytest.raises(UnwritableError, match=r"make room, then go on with --resume$"),
    ):
        save_checkpoint(tmp_path, {"a": torch.ones(9999)}, {"number": 2})
    assert load_checkpoint(tmp_path)[1]["number"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT, "new"]
    save_checkpoint(tmp_path, {"a": torch.ones(9999)}, {"number": 2})
    assert load_checkpoint(tmp_path)[1]["number"] == 2


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_a_run_does_not_go_on_from_what_a_disk_has_spoilt(tmp_path: Path, share: float) -> None:
    tensors = {
        "a": torch.arange(300.0),
        "b": torch.tensor([True, False]),
        "c": torch.tensor(3),
        "d": torch.empty(0),
    }
    save_checkpoint(tmp_path, tensors, {"number": 1})
    loaded, _ = load_checkpoint(tmp_path)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())
    path = tmp_path / CHECKPOINT
    raw = bytearray(path.read_bytes())
    raw[round(share * (len(raw) - 1))] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ResumeError, match="delete it and start again"):
        load_checkpoint(tmp_path)


def test_tensors_that_changed_places_are_seen(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"a": torch.ones(3), "b": torch.zeros(3)}, {"number": 1})
    with safe_open(tmp_path / CHECKPOINT, framework="pt") as file:
        metadata = file.metadata()
    save_file({"a": torch.zeros(3), "b": torch.ones(3)}, tmp_path / CHECKPOINT, metadata=metadata)
    with pytest.raises(ResumeError, match="not the one that was written"):
        load_checkpoint(tmp_path)
