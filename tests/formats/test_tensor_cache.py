"""What is kept comes back to the bit; whatever is wrong with the folder, it is computed anew."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from snt_zoo.formats import tensor_cache
from snt_zoo.formats.tensor_cache import SWITCH, forgetting, key_of, recall, remember

TENSORS = {"features": torch.randn(3, 5, generator=torch.Generator().manual_seed(0))}
posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's, switched on."""
    monkeypatch.setenv(SWITCH, "1")
    monkeypatch.setattr(tensor_cache.platformdirs, "user_cache_dir", lambda *_: str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


def test_what_is_kept_comes_back_to_the_bit(folder: Path) -> None:
    key = key_of("a")
    assert recall(key) is None
    remember(key, TENSORS, {"pace": "0.1"})
    found = recall(key)
    assert found is not None and found.texts == {"pace": "0.1"}
    assert torch.equal(found.tensors["features"], TENSORS["features"])
    remember(key_of("b"), {}, {"accuracy": "0.5"})  # texts alone
    assert recall(key_of("b")) == ({}, {"accuracy": "0.5"})
    assert len(list(folder.iterdir())) == 2  # and nothing else


def test_a_key_tells_its_parts_and_what_computes_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {key_of("a", "b"), key_of("ab"), key_of("b", "a"), key_of("a", b"b", b"")}
    assert len(keys) == 4 and key_of("a", "b") == key_of("a", b"b")
    before = key_of("a")
    monkeypatch.setattr(tensor_cache, "_code", lambda: b"other")
    assert key_of("a") != before


@posix
def test_only_the_user_may_read_it(folder: Path) -> None:
    remember(key_of("a"), TENSORS, {})
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]


@posix
@pytest.mark.parametrize("mode", [0o770, 0o755, 0o000])
def test_a_folder_that_others_may_use_is_left_alone(mode: int, folder: Path) -> None:
    remember(key_of("a"), TENSORS, {})
    folder.chmod(mode)
    try:
        if mode or os.geteuid():  # root may read anything
            assert recall(key_of("a")) is None
        remember(key_of("b"), TENSORS, {})
    finally:
        folder.chmod(0o700)
    assert len(list(folder.iterdir())) == (1 if mode or os.geteuid() else 2)


def test_no_folder_is_no_cache(folder: Path) -> None:
    folder.parent.write_bytes(b"a file stands in the way")
    remember(key_of("a"), TENSORS, {})
    assert recall(key_of("a")) is None


def test_it_can_be_switched_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(key_of("a"), TENSORS, {})
    monkeypatch.setenv(SWITCH, "0")
    assert recall(key_of("a")) is None
    remember(key_of("b"), TENSORS, {})
    assert len(list(folder.iterdir())) == 1


def test_a_damaged_entry_is_none_and_is_made_anew(folder: Path) -> None:
    key = key_of("a")
    remember(key, TENSORS, {})
    (path,) = folder.iterdir()
    good = path.read_bytes()
    changed = bytearray(good)
    changed[-1] ^= 1  # of a feature: the file itself is well-formed
    for bad in (b"", b"no safetensors", good[:-4], bytes(changed)):
        path.write_bytes(bad)
        assert recall(key) is None
    remember(key, TENSORS, {})
    assert recall(key) is not None and path.read_bytes() == good


def test_of_what_is_somebody_elses_nothing_is_kept(folder: Path) -> None:
    remember(key_of("mine"), TENSORS, {})
    with forgetting():
        remember(key_of("theirs"), TENSORS, {})
        assert recall(key_of("mine")) is None
    assert recall(key_of("theirs")) is None
    assert recall(key_of("mine")) is not None
    assert len(list(folder.iterdir())) == 1


def test_what_was_used_longest_ago_goes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [key_of(name) for name in "abcd"]
    monkeypatch.setattr(tensor_cache, "_TURNS", "0123456789abcdef")
    remember(keys[0], TENSORS, {})
    (path,) = folder.iterdir()
    monkeypatch.setattr(tensor_cache, "LIMIT", 3 * path.stat().st_size)
    (folder / "tmp-left-by-a-killed-process").write_bytes(b"x")
    os.utime(folder / "tmp-left-by-a-killed-process", (1, 1))
    for age, key in enumerate(keys[:3]):
        remember(key, TENSORS, {})
        os.utime(folder / f"{key}.safetensors", (100 + age, 100 + age))
    assert recall(keys[0]) is not None  # so that the second is now the oldest
    remember(keys[3], TENSORS, {})
    assert [recall(key) is not None for key in keys] == [True, False, True, True]
    assert len(list(folder.iterdir())) == 3


def test_one_entry_may_not_take_all_the_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_cache, "_ENTRY_LIMIT", 100)
    remember(key_of("a"), TENSORS, {})
    assert recall(key_of("a")) is None and not list(folder.iterdir())


def test_another_process_finds_it(tmp_path: Path) -> None:
    """The key holds nothing that changes from run to run."""
    code = (
        "from snt_zoo.formats.tensor_cache import *; import torch; torch.set_num_threads(1);"
        "found = recall(key_of('a')); print(found and found.texts); remember(key_of('a'), {}, {'b': 'c'})"
    )
    said = []
    for _ in range(2):
        env = os.environ | {SWITCH: "1", "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        said.append(done.stdout.strip())
    assert said == ["None", "{'b': 'c'}"]
