"""What a query says of how close the nearest supernets are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.closeness import summarise
from snt_zoo import Zoo
from snt_zoo.data import ImageDataset, Split
from snt_zoo.encoders.target import Target
from snt_zoo.errors import DivergenceError, SntZooWarning
from snt_zoo.formats import tensor_cache
from snt_zoo.networks.evaluate import evaluate
from snt_zoo.networks.head import Beginning, begin_on
from snt_zoo.registry import Registry
from snt_zoo.registry.bundle.bundle import Bundle
from snt_zoo.registry.closeness import NEAREST, any_close, with_heads


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return Zoo.open(tmp_path_factory.mktemp("home"))


def test_heads_are_fitted_to_the_nearest_that_are_here(
    zoo: Zoo, digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target.of(digits)
    found = zoo.query(digits, k=NEAREST + 2, probe=False)
    remote = replace(found[0], id="away", repo="somebody/away")
    gone = replace(found[1], id=found[1].id[:-1] + "z")  # removed since it was found
    seen: list[tuple[Split, Split]] = []

    def fitted(network: Any, train: Split, val: Split, **options: Any) -> Any:
        seen.append((train, val))
        beginning = begin_on(network, train, val, **options)
        assert beginning.accuracy == evaluate(network, val)
        return beginning

    monkeypatch.setattr("snt_zoo.registry.closeness.begin_on", fitted)
    told = with_heads([remote, gone, *found[2:]], zoo.registry, target, max_val=100)
    fitted_to = [match.id for match in told if match.head_accuracy is not None]
    assert fitted_to == [match.id for match in found[2:]][: NEAREST - 1]
    assert [match.id for match in told] == ["away", gone.id, *(match.id for match in found[2:])]
    for train, val in seen:
        assert len(val) <= 100 and target.sample is not None and train.labels.equal(target.sample.labels)


def test_spoilt_weights_do_not_end_a_query(digits: ImageDataset, tmp_path: Path) -> None:
    zoo = Zoo.open(tmp_path)
    first = zoo.query(digits, k=2)
    model = zoo.show(first[0].id).path / "model.safetensors"
    content = model.read_bytes()
    model.unlink()
    model.write_bytes(content[:-4] + bytes(reversed(content[-4:])))
    with pytest.warns(SntZooWarning, match=f"left out {first[0].id}: "):
        again = Zoo.open(tmp_path).query(digits, k=2)
    assert [match.id for match in again] == [match.id for match in first]
    assert again[0].head_accuracy is None and again[1].head_accuracy == first[1].head_accuracy


def test_weights_that_overflow_do_not_end_a_query(
    zoo: Zoo, digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that an earlier release took in, which did not look."""
    target = Target.of(digits)
    found = zoo.query(digits, k=2, probe=False)
    original = Registry.get

    def get(self: Registry, id: str) -> Bundle:
        bundle = original(self, id)
        if id == found[0].id:
            with torch.no_grad():
                for parameter in bundle.supernet.trunk.parameters():
                    parameter.fill_(3e38)
        return bundle

    monkeypatch.setattr(Registry, "get", get)
    told = with_heads(found.matches, zoo.registry, target, max_val=100)
    assert told[0].diverged and told[0].head_accuracy is None and told[0].to_json()["diverged"] is True
    assert told[1].head_accuracy is not None and "diverged" not in told[1].to_json()


def test_a_second_query_fits_no_head(
    zoo: Zoo, digits: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tensor_cache.SWITCH, "1")
    monkeypatch.setattr(tensor_cache.platformdirs, "user_cache_dir", lambda *_: str(tmp_path))
    fitted = 0

    def fit(network: Any, train: Split, val: Split, **options: Any) -> Beginning:
        nonlocal fitted
        fitted += 1
        if fitted == 2:
            raise DivergenceError("it overflows")
        return Beginning(0.25 + 1 / 3, "measured")

    monkeypatch.setattr("snt_zoo.registry.closeness.begin_on", fit)
    target = Target.of(digits)
    found = zoo.query(digits, k=2, probe=False)
    told: list[tuple[int, int]] = []
    first = with_heads(
        found.matches,
        zoo.registry,
        target,
        max_val=100,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert fitted == 2 and told == [(1, 2), (2, 2)]
    assert first[0].head_accuracy == 0.25 + 1 / 3 and first[1].diverged
    assert with_heads(found.matches, zoo.registry, target, max_val=100) == first
    assert fitted == 2
    with_heads(found.matches, zoo.registry, target, max_val=50)  # other images
    assert fitted == 4


def test_close_is_what_is_no_worse_than_the_probe(zoo: Zoo, digits: ImageDataset) -> None:
    found = zoo.query(digits, k=2)
    assert found.probe is not None
    probe = replace(found.probe, val_accuracy=0.8)  # of 100 images: a standard error of 0.04
    for heads, close in (
        ((0.5, 0.77), True),
        ((0.75, 0.75), False),
        ((None, 0.9), True),
        ((None, None), None),
    ):
        matches = [replace(m, head_accuracy=h) for m, h in zip(found, heads, strict=True)]
        assert any_close(matches, probe, images=100) is close


def test_the_benchmark_counts_what_runs_handed_back() -> None:
    def row(name: str, distance: float, close: bool, *returned: str) -> dict[str, Any]:
        return {
            "dataset": name,
            "domain": "glyph" if close else "photo",
            "distance": distance,
            "close": close,
            "returned": list(returned),
        }

    found = summarise(
        [
            row("a", 0.3, True, "derived", "derived", "probe"),
            row("b", 0.7, True),
            row("c", 0.5, False, "probe", "probe", "derived"),
            row("d", 0.6, False, "derived"),
            row("e", 0.8, False, "ensemble", "ensemble", "probe"),
        ]
    )
    assert found["datasets"] == 5 and found["close"] == 2
    assert found["auc_of_distance"] == round(4 / 6, 3)  # a lies before all that are not close, b before e
    assert found["close_by_domain"] == {"glyph": "2 of 2", "photo": "0 of 3"}
    assert found["handed_back"] == {
        "close": {"probe": [], "ensemble": [], "network": ["a"]},
        "not close": {"probe": ["c"], "ensemble": ["e"], "network": ["d"]},
    }
