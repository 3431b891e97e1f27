"""The map: a dot for each supernet, likes near likes, drawn anew when the registry changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snt_zoo.registry import Record, Registry
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.service.page.classes import Classes, ClassNames
from snt_zoo.service.page.zoo_map import COLOURS, SIZE, Atlas, draw_map
from snt_zoo.zoo import Zoo
from tests.registry.making import make_bundle


def record(number: int, *, tags: tuple[str, ...] = (), sources: tuple[str, ...] = ("photos",)) -> Record:
    return Record(
        id=f"net-{number:03}",
        name=f"net-{number:03}",
        digest=f"{number:064x}",
        space="nas_bench_201",
        params=1000,
        macs=1000,
        sources=sources,
        tags=tags,
        licence="MIT",
        supernet_params=2000,
        val_accuracy=None,
        test_accuracy=0.5,
        backbone="b",
        encoder="e",
        added_at="2026-11-28T12:00:00+00:00",
        path=Path("nowhere"),
    )


def test_colours_are_the_commonest_first_tags() -> None:
    tags = [f"t{kind}" for kind in range(10) for _ in range(10 - kind)]
    records = [record(i, tags=(tag, "other")) for i, tag in enumerate(tags)]
    vectors = {r.id: np.random.default_rng(i).normal(size=(1, 8)) for i, r in enumerate(records)}
    drawn = draw_map(records, vectors, {})
    assert [(group.name, group.count) for group in drawn.groups] == [(f"t{k}", 10 - k) for k in range(10)]
    assert [group.colour for group in drawn.groups] == [*range(COLOURS), *[None] * (10 - COLOURS)]
    by_tag = {group.name: group.colour for group in drawn.groups}
    assert all(dot.colour == by_tag[dot.group] for dot in drawn.dots)


def test_a_dot_tells_name_sources_classes_and_size() -> None:
    one, broad = record(1), record(2, sources=("a", "b", "c", "d"))
    classes = {one.id: (Classes("photos", ("cat", "dog")),)}
    drawn = draw_map([one, broad], {one.id: np.eye(4)[:1], broad.id: np.eye(4)[1:3]}, classes)
    assert drawn.dots[0].lines == (
        "net-001",
        "trained on photos",
        "2 classes: cat, dog",
        "nas_bench_201, 1,000 parameters, 50.0 % on its test images",
    )
    assert not drawn.dots[0].broad
    assert drawn.dots[1].broad
    assert drawn.dots[1].lines[1] == "trained on a, b, c and 1 more"


def test_an_embedding_falls_on_the_dot_of_its_own() -> None:
    records = [record(i) for i in range(9)]
    vectors = {r.id: 10 * np.random.default_rng(i).normal(size=(1, 8)) for i, r in enumerate(records)}
    drawn = draw_map(records, vectors, {})
    for dot in drawn.dots:
        x, y = drawn.place(vectors[dot.id][0])
        assert abs(x - dot.x) + abs(y - dot.y) < 30
        assert 0 <= x <= SIZE[0]
        assert 0 <= y <= SIZE[1]
    assert drawn.dot("net-003") is drawn.dots[3]
    assert drawn.dot("other") is None


def test_an_empty_registry_has_an_empty_map(tmp_path: Path) -> None:
    atlas = Atlas(Registry.open(tmp_path / "home"), ClassNames())
    drawn, records = atlas.current()
    assert drawn.dots == records == ()
    assert drawn.total == 0


def test_it_is_kept_until_the_registry_changes(registry: Registry, tmp_path: Path) -> None:
    atlas = Atlas(registry, ClassNames())
    first = atlas.current()[0]
    assert {dot.id for dot in first.dots} == registry.ids(Filter())
    assert atlas.current()[0] is first
    added = registry.add(make_bundle(tmp_path / "more", seed=8, name="more"))
    second = atlas.current()[0]
    assert second.dot(added.id) is not None
    assert second.total == 3
    registry.remove(added.id)
    assert atlas.current()[0].dot(added.id) is None


def test_the_starter_zoo_lies_in_groups(starter: Zoo) -> None:
    """Supernets of letters lie nearer to each other than to those of icons, in the mean."""
    drawn, _ = Atlas(starter.registry, ClassNames()).current()
    places = {
        group: np.array([(dot.x, dot.y) for dot in drawn.dots if dot.group == group and not dot.broad])
        for group in ("glyph", "icon")
    }
    centres = {group: found.mean(0) for group, found in places.items()}
    for group, other in (("glyph", "icon"), ("icon", "glyph")):
        own = np.linalg.norm(places[group] - centres[group], axis=1)
        far = np.linalg.norm(places[group] - centres[other], axis=1)
        assert (own < far).mean() > 0.8
