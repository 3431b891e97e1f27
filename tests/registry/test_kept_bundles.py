from __future__ import annotations

import pytest

from snt_zoo.encoders.target import Target
from snt_zoo.errors import NotInRegistryError
from snt_zoo.registry import Registry
from snt_zoo.registry.kept_bundles import KeptBundles
from snt_zoo.registry.retrieval import retrieve
from tests.registry.making import sketch


def test_what_was_used_longest_ago_goes_first() -> None:
    kept = KeptBundles(9)
    for name in "abc":
        kept.keep_sketches(name, (sketch(),))  # of three classes
    assert kept.sketches("a") is not None
    kept.keep_sketches("d", (sketch(), sketch()))
    assert [name for name in "abcd" if kept.sketches(name) is not None] == ["a", "d"]
    kept.keep_sketches("large", (sketch(classes=10),))
    assert kept.sketches("large") is None and kept.sketches("d") is None


def test_a_sketch_of_several_bundles_counts_once() -> None:
    kept, shared = KeptBundles(6), sketch()
    kept.keep_sketches("a", (shared,))
    kept.keep_sketches("b", (shared, sketch(seed=5)))
    assert [name for name in "ab" if kept.sketches(name) is not None] == ["a", "b"]
    kept.keep_sketches("c", (sketch(seed=6),))  # with it there are nine classes, of three sketches
    assert [name for name in "abc" if kept.sketches(name) is not None] == ["c"]
    kept.keep_sketches("d", (sketch(seed=7),))
    assert [name for name in "cd" if kept.sketches(name) is not None] == ["c", "d"]


def test_kept_records_are_those_of_bundles_that_are_there(registry: Registry) -> None:
    registry.keep(100)
    ids = [record.id for record in registry.list()]
    assert registry.to_rank([*ids, "nobody"]) == registry.records(ids)
    registry.tag(ids[0], add=["seen"])
    assert registry.to_rank(ids)[ids[0]].digest == registry.show(ids[0]).digest
    assert "seen" in registry.records(ids)[ids[0]].tags
    registry.remove(ids[0])
    assert list(registry.to_rank(ids)) == ids[1:]


def test_answers_are_the_same_and_bundles_are_read_once(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target(sketch(seed=1))
    before = retrieve(registry, target, k=2).matches
    registry.keep(100)
    assert retrieve(registry, target, k=2).matches == before
    monkeypatch.setattr(
        "snt_zoo.registry.bundle.bundle.read_sketches", lambda *args, **given: pytest.fail("read again")
    )
    assert retrieve(registry, target, k=2).matches == before


def test_what_was_removed_is_no_answer_whatever_is_kept(registry: Registry) -> None:
    registry.keep(100)
    target = Target(sketch(seed=1))
    first = retrieve(registry, target, k=2)[0].id
    registry.remove(first)
    assert first not in [match.id for match in retrieve(registry, target, k=2)]
    with pytest.raises(NotInRegistryError):
        registry.sketches(first)
