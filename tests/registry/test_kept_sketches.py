from __future__ import annotations

import pytest

from snt_zoo.encoders.target import Target
from snt_zoo.errors import NotInRegistryError
from snt_zoo.registry import Registry
from snt_zoo.registry.kept_sketches import KeptSketches
from snt_zoo.registry.retrieval import retrieve
from tests.registry.making import sketch


def test_what_was_used_longest_ago_goes_first() -> None:
    kept = KeptSketches(9)
    for name in "abc":
        kept.put(name, (sketch(),))  # of three classes
    assert kept.get("a") is not None
    kept.put("d", (sketch(), sketch()))
    assert [name for name in "abcd" if kept.get(name) is not None] == ["a", "d"]
    kept.put("large", (sketch(classes=10),))
    assert kept.get("large") is None and kept.get("d") is None


def test_answers_are_the_same_and_bundles_are_read_once(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target(sketch(seed=1))
    before = retrieve(registry, target, k=2).matches
    registry.keep_sketches(100)
    assert retrieve(registry, target, k=2).matches == before
    monkeypatch.setattr(
        "snt_zoo.registry.bundle.bundle.read_sketches", lambda *args, **given: pytest.fail("read again")
    )
    assert retrieve(registry, target, k=2).matches == before


def test_what_was_removed_is_no_answer_whatever_is_kept(registry: Registry) -> None:
    registry.keep_sketches(100)
    target = Target(sketch(seed=1))
    first = retrieve(registry, target, k=2)[0].id
    registry.remove(first)
    assert first not in [match.id for match in retrieve(registry, target, k=2)]
    with pytest.raises(NotInRegistryError):
        registry.sketches(first)
