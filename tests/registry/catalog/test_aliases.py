"""Versions, and the aliases that stand for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_zoo.errors import AliasError, NotInRegistryError
from snt_zoo.registry import Record, Registry
from snt_zoo.registry.upkeep import intake
from tests.registry.making import make_bundle


def test_latest_is_what_was_added_last(registry: Registry, versions: list[Record]) -> None:
    assert registry.resolve("shapes@latest") == versions[-1].id
    assert registry.show(versions[-1].id).aliases == ("latest",)
    assert registry.show(versions[0].id).aliases == ()
    moves = registry.aliases.history("shapes", "latest")
    assert [move.digest for move in moves] == [record.digest for record in versions]
    assert [move.previous for move in moves] == [None, versions[0].digest, versions[1].digest]
    assert moves == sorted(moves, key=lambda move: move.at)
    assert {move.why for move in moves} == {f"{record.id} was added" for record in versions}


def test_an_alias_moves_and_every_move_is_written_down(registry: Registry, versions: list[Record]) -> None:
    one, two, _ = versions
    aliases = registry.aliases
    assert aliases.move("best", one.id, why="0.91 on the test part", by="ann").digest == one.digest
    aliases.move("best", two.id, why="0.93", by="bob")
    aliases.move("best", two.id, why="again", by="bob")  # no move, so none is written down
    assert registry.resolve("shapes@best") == two.id
    assert registry.show(two.id).aliases == ("best",)
    aliases.drop("shapes", "best", why="wrong", by="ann")
    with pytest.raises(NotInRegistryError, match=r"shapes@best.*shapes@latest"):
        registry.resolve("shapes@best")
    trail = [(m.previous, m.digest, m.by, m.why) for m in aliases.history("shapes", "best")]
    assert trail == [
        (None, one.digest, "ann", "0.91 on the test part"),
        (one.digest, two.digest, "bob", "0.93"),
        (two.digest, None, "ann", "wrong"),
    ]
    with pytest.raises(NotInRegistryError, match="aliases"):
        aliases.drop("shapes", "best")


def test_who_moved_it_is_the_user_unless_told(
    registry: Registry, versions: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "carla")
    registry.aliases.move("best", versions[0].id)
    assert registry.aliases.history("shapes", "best")[0].by == "carla"


def test_removing_a_version_takes_its_aliases_and_moves_latest(
    registry: Registry, versions: list[Record]
) -> None:
    one, two, three = versions
    registry.aliases.move("best", three.id)
    registry.remove(three.id)
    assert [(a.alias, a.id) for a in registry.aliases.all("shapes")] == [("latest", two.id)]
    for move in registry.aliases.history("shapes")[-2:]:
        assert (move.previous, move.why) == (three.digest, f"{three.id} was removed")
    registry.remove(one.id)
    registry.remove(two.id)
    assert registry.aliases.all("shapes") == []
    assert registry.aliases.history("shapes", "latest")[-1].digest is None


def test_latest_can_be_moved_by_hand_until_the_next_add(
    tmp_path: Path, registry: Registry, versions: list[Record]
) -> None:
    registry.aliases.move("latest", versions[0].id, why="7 was bad")
    assert registry.resolve("shapes@latest") == versions[0].id
    new = registry.add(make_bundle(tmp_path / "new", seed=8, name="shapes"), aliases=["best"], tags=["mine"])
    assert new.aliases == ("best", "latest") and "mine" in new.tags
    assert registry.resolve("shapes@latest") == registry.resolve("shapes@best") == new.id
    assert registry.show(new.id) == new


@pytest.mark.parametrize(
    "alias", ["", "a b", "-x", "é", "x" * 65, "a/b", "../x", "a@b", "beef", "0123", "a\n", "\x1b[2J", "*"]
)
def test_what_cannot_be_an_alias_or_a_tag(alias: str, registry: Registry, good: Path) -> None:
    id = registry.resolve("leaves")
    with pytest.raises(AliasError) as caught:
        registry.aliases.move(alias, id)
    assert str(caught.value).isprintable()
    with pytest.raises(AliasError):
        registry.add(good, aliases=[alias])
    if alias not in ("beef", "0123"):
        with pytest.raises(AliasError):
            registry.tag(id, add=[alias])
        with pytest.raises(AliasError):
            registry.add(good, tags=[alias])
    assert [a.alias for a in registry.aliases.all()] == ["latest", "latest"]


def test_a_reason_is_one_line(registry: Registry) -> None:
    id = registry.resolve("leaves")
    for why in ("a\nb", "\x1b[2J", "x" * 1001):
        with pytest.raises(AliasError, match="reason"):
            registry.aliases.move("best", id, why=why)
    with pytest.raises(NotInRegistryError):
        registry.aliases.move("best", "nobody-00000000")


@settings(max_examples=12, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 2)), max_size=12))
def test_the_trail_leads_to_what_stands(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Whatever is moved and dropped: replaying the audit trail gives the aliases that there are."""
    home = tmp_path_factory.mktemp("aliases")
    registry = _with_two_versions(home)
    ids = [record.id for record in registry.list()]
    for alias, target in steps:
        if target < 2:
            registry.aliases.move(alias, ids[target])
        elif any(a.alias == alias for a in registry.aliases.all()):
            registry.aliases.drop("shapes", alias)
    replayed: dict[str, str] = {}
    for move in registry.aliases.history("shapes"):
        assert replayed.get(move.alias) == move.previous != move.digest
        if move.digest is None:
            del replayed[move.alias]
        else:
            replayed[move.alias] = move.digest
    assert replayed == {a.alias: a.digest for a in registry.aliases.all()}


_KEPT: dict[str, Path] = {}


def _with_two_versions(home: Path) -> Registry:
    import shutil

    if "home" not in _KEPT or not _KEPT["home"].exists():
        registry = Registry.open(home / "first")
        for seed in (1, 2):
            registry.add(make_bundle(home / str(seed), seed=seed))
        _KEPT["home"] = registry.home
    return Registry.open(shutil.copytree(_KEPT["home"], home / "copy"))


@pytest.mark.parametrize(
    "years", [(2026, 1999, 2026, 1970), (2099, 2026, 2026, 2026), (1970, 2261, 1980, 2000)]
)
def test_latest_follows_what_was_done_and_not_the_clock(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, years: tuple[int, ...]
) -> None:
    """A clock may be set back, or far ahead and back, between two versions."""
    ids = []
    for seed, year in enumerate(years, 20):
        monkeypatch.setattr(intake, "_now", lambda year=year: f"{year}-01-01T00:00:00+00:00")
        ids.append(registry.add(make_bundle(tmp_path / f"y{seed}", seed=seed, name="timed")).id)
    assert registry.verify(repair=True).ok
    while ids:
        assert registry.resolve("timed@latest") == ids[-1]
        registry.remove(ids.pop())
