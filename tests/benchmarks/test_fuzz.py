"""A few seconds of `benchmarks.fuzz`, and that it would see what it looks for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from benchmarks import fuzz
from benchmarks.fuzz import MOST_EDITS, Prober
from benchmarks.fuzz_targets import Target, make_targets
from benchmarks.mutations import spoil_bytes
from snt_zoo.errors import ConfigError

NAMES = [
    "config", "manifest", "safetensors", "sketches", "npz", "images", "bundle_config", "bundle_model",
    "bundle_sketches", "bundle_card", "model_config", "model_genotype", "model_model",
    "checkpoint", "full_disk",
]  # fmt: skip


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return make_targets(tmp_path_factory.mktemp("fuzz"))


def prober(target: Target) -> Prober:
    return Prober(target, [0.0] * 5, [0] * (2 + MOST_EDITS))


def test_every_parser_is_tried(targets: dict[str, Target]) -> None:
    assert list(targets) == NAMES
    for target in targets.values():
        assert all(target.accepts(raw) for raw in target.seeds), target.name  # they are good files


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")  # of Pillow, for every damaged file
def test_spoilt_files_are_refused_as_they_should_be(targets: dict[str, Target], name: str) -> None:
    probe = prober(targets[name])
    size = 12 if name.startswith(("bundle", "model", "full")) else 80
    probe.batch(7, size=size)
    assert probe.counts[0] == size
    if name not in ("bundle_card", "manifest"):
        assert probe.counts[1] < size  # some are refused


def test_a_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "_MOST_FINDINGS", 2)

    def faulty(raw: bytes) -> None:
        if len(raw) != 100:
            raise ConfigError("as it should be")
        raise KeyError("a fault")

    target = Target("faulty", (b"x" * 101, b"x" * 100), spoil_bytes, faulty)
    with pytest.raises(KeyError, match="a fault"):
        prober(target).batch(1)
    found = fuzz.run(target, 20.0, number=1)
    assert len(found["findings"]) == 2 and all("a fault" in one for one in found["findings"])


def test_a_hang_a_death_and_a_slow_case_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "_MOST_FINDINGS", 1)
    monkeypatch.setattr(fuzz, "CASE_SECONDS", 0.01)

    def die(raw: bytes) -> None:
        os._exit(3)

    def spin(raw: bytes) -> None:
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass

    def hang(raw: bytes) -> None:
        time.sleep(60)

    for read, told, patience in ((hang, "hung", 0.2), (die, "died with 3", 60), (spin, "took 0.0 s", 60)):
        monkeypatch.setattr(fuzz, "HANG_SECONDS", patience)
        found = fuzz.run(Target("x", (b"abc",), spoil_bytes, read), 20.0, number=1)
        assert told in found["findings"][0]


def test_a_case_is_made_again_from_its_numbers(targets: dict[str, Target], tmp_path: Path) -> None:
    other = make_targets(tmp_path)
    for name in NAMES:
        edits = [3, 1 << 60, 5]
        assert targets[name].case(1, edits) == other[name].case(1, edits)
