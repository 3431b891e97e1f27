"""A checkpoint is the old one or the new one, never half."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from snt_zoo.errors import ResumeError
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
