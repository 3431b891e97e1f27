"""The list of supernets: what was asked of it, and the part of it that one page shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import urlencode

from snt_zoo.encoders.outcomes import Outcome
from snt_zoo.errors import RequestError
from snt_zoo.formats.counts import parse_size
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.pages import MAX_ROWS, SORTS, Page, Place
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.own_outcomes import by_supernet
from snt_zoo.registry.registry import Registry
from snt_zoo.service.cursors import cursor, place
from snt_zoo.service.page.classes import ClassNames

ROWS = 50
"""Supernets on one page."""

SEARCHED = 5000
"""Supernets whose classes are looked through for a word: the files of each are read once, all in 0.6 s."""

_LONGEST = 200  # signs of a field
_TEXTS = ("word", "space", "tag", "licence", "max_params", "max_macs")


class Column(NamedTuple):
    """A column of the list.

    Args:
        sort: by what it is sorted, as `SORTS` names it; empty if it cannot be.
        title: for people.
        number: whether it is aligned right, and sorted the largest first.
    """

    sort: str
    title: str
    number: bool


COLUMNS = (
    Column("name", "supernet", False),
    Column("params", "parameters", True),
    Column("macs", "MACs", True),
    Column("accuracy", "accuracy", True),
    Column("", "space", False),
    Column("added", "added", True),
)


@dataclass(frozen=True)
class Asked:
    """What a list is asked for, as the fields of its form; an empty text is no condition.

    Args:
        word: that stands in a class, a source, a tag or the name.
        space: search space.
        tag: one of the tags.
        licence: a part of its text.
        max_params: most weights, as `2M`.
        max_macs: most multiply-accumulates, as `100M`.
        sort: one of `SORTS`.
        after: cursor of a page; empty for the first.
    """

    word: str = ""
    space: str = ""
    tag: str = ""
    licence: str = ""
    max_params: str = ""
    max_macs: str = ""
    sort: str = "name"
    after: str = ""

    @classmethod
    def as_written(cls, fields: Mapping[str, str]) -> Asked:
        """The fields as they are, to be shown again; those that are not known are passed over."""
        texts = {key: fields.get(key, "").strip()[:_LONGEST] for key in _TEXTS}
        sort = fields.get("sort", "")
        return cls(**texts, sort=sort if sort in SORTS else "name", after=fields.get("after", ""))

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Asked:
        """What an address asks for.

        Raises:
            RequestError: a field is too long, cannot be shown, or is no number.
        """
        for key in _TEXTS:
            text = fields.get(key, "").strip()
            if len(text) > _LONGEST or not text.isprintable():
                raise RequestError(f"{key} must be a line of at most {_LONGEST} signs: shorten it")
        asked = cls.as_written(fields)
        asked.filter()
        return asked

    def filter(self) -> Filter:
        """The conditions that the catalog decides; raises `RequestError`."""
        return Filter(
            space=self.space or None,
            tag=self.tag or None,
            licence=f"*{self.licence}*" if self.licence else None,
            max_params=_count("most parameters", self.max_params),
            max_macs=_count("most MACs", self.max_macs),
        )

    @property
    def is_open(self) -> bool:
        """Whether every supernet fits."""
        return all(not getattr(self, key) for key in _TEXTS)

    def address(self, **changes: Any) -> str:
        """The address of this list, or of one that differs in some fields."""
        fields = vars(replace(self, **changes))
        given = {key: value for key, value in fields.items() if value and (key, value) != ("sort", "name")}
        return "/supernets" + (f"?{urlencode(given)}" if given else "")

    def sorted_by(self, column: Column) -> str:
        """The address of the list sorted by a column; the other way round if it is already."""
        first = f"-{column.sort}" if column.number else column.sort
        other = column.sort if column.number else f"-{column.sort}"
        return self.address(sort=other if self.sort == first else first, after="")

    def order(self, column: Column) -> str:
        """How it is sorted by a column, in the words of ARIA; empty if it is not."""
        if self.sort.removeprefix("-") != column.sort:
            return ""
        return "descending" if self.sort.startswith("-") else "ascending"


def _count(name: str, text: str) -> int | None:
    if not text:
        return None
    try:
        return parse_size(text)
    except ValueError as error:
        raise RequestError(f"{name}: {error}") from error


@dataclass(frozen=True)
class Row:
    """A supernet in the list.

    Args:
        record: of it.
        found: the classes in whose names the word stands.
        outcomes: how many times it was tried on a dataset.
    """

    record: Record
    found: tuple[str, ...]
    outcomes: int


@dataclass(frozen=True)
class Listing:
    """A page of the list.

    Args:
        asked: for what.
        rows: of this page.
        total: supernets that fit, on all pages.
        searched: supernets that were looked through, if not all of them were.
        following: address of the next page; None on the last.
    """

    asked: Asked
    rows: tuple[Row, ...]
    total: int
    searched: int | None
    following: str | None


def list_supernets(registry: Registry, classes: ClassNames, asked: Asked, *, rows: int = ROWS) -> Listing:
    """The page of the list that was asked for.

    Raises:
        RequestError: a field cannot be used, or there is no such page.
    """
    where = asked.filter()
    after = place(asked.after, where, asked.sort) if asked.after else None
    tried = by_supernet(registry.home)
    if not asked.word:
        found = registry.page(where, sort=asked.sort, after=after, limit=rows)
        return _listing(asked, where, found, None, {}, tried)
    fitting = [one for one in _pages(registry, where, asked.sort) if classes.fits(one[0], asked.word)]
    start = 0
    if after is not None:
        start = next((i + 1 for i, (record, _) in enumerate(fitting) if record.id == after.id), 0)
    shown = fitting[start : start + rows]
    end = shown[-1][1] if start + rows < len(fitting) else None
    part = Page(tuple(record for record, _ in shown), len(fitting), end)
    names = {record.id: classes.found(record, asked.word) for record in part.records}
    more = registry.page(where, limit=1).total > SEARCHED
    return _listing(asked, where, part, SEARCHED if more else None, names, tried)


def _pages(registry: Registry, where: Filter, sort: str) -> Iterator[tuple[Record, Place]]:
    """The first supernets in the order of the list, each with its place there."""
    after, count = None, 0
    value: str | int = "" if sort.removeprefix("-") in ("name", "added") else 0  # read back by the id alone
    while count < SEARCHED:
        found = registry.page(where, sort=sort, after=after, limit=MAX_ROWS)
        yield from ((record, Place(value, record.id)) for record in found.records)
        count, after = count + len(found.records), found.end
        if after is None:
            return


def _listing(
    asked: Asked,
    where: Filter,
    found: Page,
    searched: int | None,
    names: Mapping[str, tuple[str, ...]],
    tried: Mapping[str, Sequence[Outcome]],
) -> Listing:
    following = None
    if found.end is not None:
        following = asked.address(after=cursor(found.end, where, asked.sort))
    rows = tuple(
        Row(record, names.get(record.id, ()), len(tried.get(record.digest[:16], ())))
        for record in found.records
    )
    return Listing(asked, rows, found.total, searched, following)
