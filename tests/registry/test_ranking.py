"""Nobody's supernet changes how the others are ranked, nor takes their place."""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from snt_zoo.encoders.distances import Source, get_distance
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.target import Target
from snt_zoo.errors import NoMatchError
from snt_zoo.registry import Registry, ranking
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.retrieval import retrieve
from tests.registry.conftest import Zoos
from tests.registry.hub.repositories import repository
from tests.registry.hub.state import Hub
from tests.registry.making import config_data, make_bundle, network, sketch, source


def shrunk(made: Sketch, by: float) -> Sketch:
    """All within a small part of the space, so that distances are small."""
    return replace(
        made, means=made.means * by, covariances=made.covariances * by**2, samples=made.samples * by
    )


@pytest.mark.parametrize("size", [1.0, 0.01])
def test_one_far_sketch_does_not_make_the_others_equal(size: float, tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "home")
    for seed in range(4):
        made = shrunk(sketch(seed=seed), size)
        # The farther, the more accurate: only distances can put them in order.
        metrics = {"val_accuracy": 0.2 * seed, "test_accuracy": None}
        registry.add(make_bundle(tmp_path / f"{seed}", name=f"n{seed}", sketches=[made], metrics=metrics))
    target = Target(shrunk(sketch(seed=0), size))
    before = [match.id for match in retrieve(registry, target, k=9)]
    distances = [match.distance for match in retrieve(registry, target, k=9)]
    assert before[0].startswith("n0-") and distances == sorted(distances)
    far = replace(sketch(seed=9), means=torch.full((3, 64), 7.9))  # as far as a file can be
    registry.add(make_bundle(tmp_path / "far", name="far", sketches=[far]))
    after = [match.id for match in retrieve(registry, target, k=9)]
    assert after[:4] == before and after[4].startswith("far-")


def test_what_is_here_goes_before_an_equal_that_nobody_pulled(hub: Hub, zoo: Zoos, tmp_path: Path) -> None:
    home = zoo()
    many = [sketch(seed=seed, name=f"d{seed}") for seed in range(3)]
    home.registry.add(make_bundle(tmp_path / "own", name="z-own", sketches=many))
    hub.seed("mallory/a", repository(tmp_path / "made", 0, name="a-copy"))
    home.sync()
    found = home.query(sketch(seed=0), k=9, hub=True)
    assert found[0].distance == pytest.approx(found[1].distance, abs=1e-6)
    assert [match.remote for match in found] == [False, True]


def test_measuring_a_few_at_a_time_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry.open(tmp_path / "home")
    for seed in range(6):
        made = [sketch(seed=seed, classes=2 + seed), sketch(seed=50 + seed, classes=3)]
        registry.add(make_bundle(tmp_path / f"{seed}", name=f"n{seed}", sketches=made))
    target = Target(sketch(seed=2, classes=4))
    asked: list[int] = []
    measure = get_distance("class-ot")
    original = type(measure).measure

    def counted(self: object, target: Target, sources: list[Source]) -> object:
        asked.append(sum(len(source.sketch.class_names) for source in sources))
        return original(self, target, sources)  # type: ignore[arg-type]

    monkeypatch.setattr(type(measure), "measure", counted)
    whole = retrieve(registry, target, k=9)
    assert len(asked) == 1
    monkeypatch.setattr(ranking, "CLASSES_AT_ONCE", 10)
    parts = retrieve(registry, target, k=9)
    assert len(asked) > 3 and max(asked[1:]) <= 10
    assert [match.id for match in parts] == [match.id for match in whole]
    assert [m.distance for m in parts] == pytest.approx([m.distance for m in whole], abs=1e-6)
    assert [m.class_matches for m in parts] == [m.class_matches for m in whole]
    monkeypatch.setattr(
        ranking, "CLASSES_TOGETHER", 10
    )  # of those that are measured together the rest is left out
    assert 0 < len(retrieve(registry, target, k=9, distance="otdd")) < 6


def test_a_distance_without_a_coupling_tells_its_pairs(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "home")
    made = [sketch(seed=5, name="other"), sketch(seed=0, name="near")]
    registry.add(make_bundle(tmp_path / "b", sketches=made))
    (match,) = retrieve(registry, Target(sketch(seed=0)), k=1, distance="class-means")
    assert {pair.source for pair in match.class_matches} == {"near"}
    assert [pair.target for pair in match.class_matches] == [
        pair.source_class for pair in match.class_matches
    ]


def test_one_that_is_spoilt_or_gone_stops_nothing(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "home")
    for seed in range(3):
        registry.add(make_bundle(tmp_path / f"{seed}", seed=seed, name=f"n{seed}"))
    path = registry.list()[0].path / "dataset.safetensors"
    path.unlink()
    path.write_bytes(b"x")
    found = ranking.shortlist(registry, Target(sketch()), 9, where=Filter())
    assert len(found) == 3
    assert [m.id[:2] for m in sorted(retrieve(registry, Target(sketch()), k=9), key=lambda m: m.id)] == [
        "n1",
        "n2",
    ]


MEMORY = """
import resource, sys
from pathlib import Path
from snt_zoo.encoders.target import Target
from snt_zoo.registry import Registry
from snt_zoo.registry.retrieval import retrieve
from tests.registry.making import sketch
registry = Registry.open(Path(sys.argv[1]))
target = Target(sketch(classes=100))
retrieve(registry, target, k=1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_the_memory_of_a_query_is_bounded(tmp_path: Path) -> None:
    """Twelve bundles of 4,000 classes, half a megabyte each, are no more than two."""
    assert resource.getpagesize() > 0
    peaks = []
    for count in (2, 12):
        registry = Registry.open(tmp_path / f"{count}")
        for number in range(count):
            made = [sketch(seed=4 * number + part, classes=1000, name=f"d{part}") for part in range(4)]
            registry.add(make_bundle(tmp_path / f"{count}-{number}", name=f"n{number}", sketches=made))
        run = subprocess.run(
            [sys.executable, "-c", MEMORY, str(tmp_path / f"{count}")],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(run.stdout) / 1024)
    assert peaks[1] - peaks[0] < 100, peaks  # MB; all twelve at once would take 800
    assert peaks[1] < 1500, peaks


def test_licences_are_told_and_can_be_asked_for(hub: Hub, zoo: Zoos, tmp_path: Path) -> None:
    home = zoo()
    free = config_data(network())["training"] | {"datasets": [source(licence="CC0-1.0")]}
    bound = config_data(network())["training"] | {"datasets": [source(licence="CC BY-NC 4.0")]}
    home.registry.add(make_bundle(tmp_path / "own", name="own", licence="MIT", training=free))
    hub.seed("bob/nc", repository(tmp_path / "made", 0, name="nc", licence="[odd] MIT too", training=bound))
    home.sync()
    found = {match.id[:2]: match for match in home.query(sketch(), k=9, hub=True)}
    assert found["ow"].licences == ("MIT", "CC0-1.0")
    assert found["nc"].licences == ("[odd] MIT too", "CC BY-NC 4.0")
    assert found["nc"].to_json()["licences"] == ["[odd] MIT too", "CC BY-NC 4.0"]
    for licence, expected in (("mit", {"ow"}), ("*MIT*", {"ow", "nc"}), ("[ODD]*", {"nc"}), ("[o]*", set())):
        try:
            names = {match.id[:2] for match in home.query(sketch(), k=9, hub=True, licence=licence)}
        except NoMatchError:
            names = set()
        assert names == expected, licence
