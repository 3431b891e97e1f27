"""The list: its form is read, bad fields are refused, pages hold each supernet once."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snt_zoo.errors import RequestError
from snt_zoo.registry import Registry
from snt_zoo.service.page.classes import ClassNames
from snt_zoo.service.page.listing import COLUMNS, Asked, Listing, list_supernets
from tests.registry.making import make_bundle

TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=30)


@given(TEXTS, TEXTS, st.sampled_from(["name", "-params", "added"]))
def test_an_address_says_what_was_asked(word: str, tag: str, sort: str) -> None:
    asked = Asked(word=word, tag=tag, sort=sort, max_params="2M")
    assert Asked.of(dict(parse_qsl(urlsplit(asked.address()).query))) == asked


def test_fields_become_conditions() -> None:
    asked = Asked.of(
        {"space": "darts", "max_params": " 500k ", "max_macs": "1.5M", "licence": "mit", "x": "y"}
    )
    where = asked.filter()
    assert (where.space, where.max_params, where.max_macs, where.licence) == (
        "darts",
        500_000,
        1_500_000,
        "*mit*",
    )
    assert not asked.is_open
    assert Asked.of({"sort": "-added"}).is_open


@pytest.mark.parametrize(
    "fields",
    [{"max_params": "many"}, {"max_macs": "-3"}, {"word": "a" * 201}, {"tag": "a\x00b"}, {"word": "a\nb"}],
)
def test_what_cannot_be_read_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(RequestError):
        Asked.of(fields)
    assert isinstance(Asked.as_written(fields), Asked)  # and shown again


def test_a_column_is_sorted_one_way_then_the_other() -> None:
    params = COLUMNS[1]
    asked = Asked.of(dict(parse_qsl(urlsplit(Asked().sorted_by(params)).query)))
    assert (asked.sort, asked.order(params)) == ("-params", "descending")
    other = Asked.of(dict(parse_qsl(urlsplit(asked.sorted_by(params)).query)))
    assert (other.sort, other.order(params), other.order(COLUMNS[0])) == ("params", "ascending", "")


@pytest.mark.parametrize(
    "fields", [{}, {"word": "class 1"}, {"sort": "-params"}, {"word": "shapes", "sort": "added"}]
)
def test_the_pages_hold_each_supernet_once(
    registry: Registry, tmp_path: Path, fields: dict[str, str]
) -> None:
    for seed in range(3, 8):
        registry.add(make_bundle(tmp_path / f"s{seed}", seed=seed, name=f"more-{seed}"))
    classes = ClassNames()
    pages: list[Listing] = [list_supernets(registry, classes, Asked.of(fields), rows=3)]
    while (address := pages[-1].following) is not None:
        asked = Asked.of(dict(parse_qsl(urlsplit(address).query)))
        pages.append(list_supernets(registry, classes, asked, rows=3))
    ids = [row.record.id for each in pages for row in each.rows]
    assert [len(each.rows) for each in pages] == [3, 3, 1]
    assert sorted(ids) == sorted(registry.ids(Asked().filter()))
    assert {each.total for each in pages} == {7}


def test_a_word_finds_classes_and_says_which(registry: Registry) -> None:
    found = list_supernets(registry, ClassNames(), Asked(word="Class 2"))
    assert [row.found for row in found.rows] == [("class 2",)] * 2
    assert list_supernets(registry, ClassNames(), Asked(word="letters")).total == 1
    assert list_supernets(registry, ClassNames(), Asked(word="no such")).rows == ()


def test_a_cursor_of_another_list_is_refused(registry: Registry) -> None:
    following = list_supernets(registry, ClassNames(), Asked(), rows=1).following
    assert following is not None
    cursor = dict(parse_qsl(urlsplit(following).query))["after"]
    for asked in (
        Asked(after="nonsense"),
        Asked(after=cursor, space="darts"),
        Asked(after=cursor, sort="params"),
    ):
        with pytest.raises(RequestError):
            list_supernets(registry, ClassNames(), asked)
