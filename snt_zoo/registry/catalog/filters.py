"""What a search or a list is narrowed to: conditions on the catalog's rows, done by SQLite."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from snt_zoo.registry.catalog.records import Candidate
from snt_zoo.registry.catalog.tables import BUNDLES, METRICS, SOURCES, TAGS

Condition = sa.ColumnElement[bool]

_NUMBER = r"-?(?:\d{1,100}(?:\.\d{0,100})?|\.\d{1,100})(?:e-?\d{1,2})?"
_BOUND = re.compile(rf"([A-Za-z0-9][A-Za-z0-9._-]{{0,63}})\s*([<>]=)\s*({_NUMBER})", re.ASCII)


@dataclass(frozen=True)
class Bound:
    """A bound on a metric; a bundle without that metric does not meet it.

    Args:
        metric: `val_accuracy`, `test_accuracy`, or a further one of the bundle's config.
        relation: which way the bound goes; it includes its value.
        value: of the bound.
    """

    metric: str
    relation: Literal[">=", "<="]
    value: float

    @classmethod
    def parse(cls, text: str) -> Bound:
        """A bound as people write it: `ece<=0.1`.

        Raises:
            ValueError: it is none.
        """
        found = _BOUND.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is no bound: write it as 'val_accuracy>=0.8'")
        relation: Literal[">=", "<="] = ">=" if found[2] == ">=" else "<="
        return cls(found[1], relation, float(found[3]))


@dataclass(frozen=True)
class Filter:
    """Conditions that a bundle must meet, all of them. None, or nothing, is no condition.

    Sizes, parameters and MACs include the bound's value. A text with `*` or `?` is a pattern.

    Args:
        name: of the bundle.
        space: search space.
        max_params: most weights of the network that its genotype derives to.
        max_macs: most multiply-accumulates of that network.
        max_size: most bytes of the bundle's files.
        min_accuracy: least accuracy on the test part, or on the validation part if that alone was
            measured; from 0 to 1.
        source: name of a dataset that it was trained on, or where that came from
            (`sklearn:digits`), or its fingerprint.
        licence: SPDX id or text, in any case of letters.
        tag: one of its tags.
        metrics: bounds on any metrics.
        exclude: words that must not fit: a tag, or the beginning of an id.
    """

    name: str | None = None
    space: str | None = None
    max_params: int | None = None
    max_macs: int | None = None
    max_size: int | None = None
    min_accuracy: float | None = None
    source: str | None = None
    licence: str | None = None
    tag: str | None = None
    metrics: tuple[Bound, ...] = ()
    exclude: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether every bundle fits."""
        return self == Filter()

    def conditions(self) -> list[Condition]:
        """The conditions on the table of bundles."""
        found: list[Condition] = []
        if self.name is not None:
            found.append(_matches(BUNDLES.c.name, self.name))
        if self.space is not None:
            found.append(BUNDLES.c.space == self.space)
        if self.max_params is not None:
            found.append(BUNDLES.c.params <= self.max_params)
        if self.max_macs is not None:
            found.append(BUNDLES.c.macs <= self.max_macs)
        if self.max_size is not None:
            found.append(BUNDLES.c.size <= self.max_size)
        if self.min_accuracy is not None:
            measured = sa.func.coalesce(BUNDLES.c.test_accuracy, BUNDLES.c.val_accuracy)
            found.append(measured >= self.min_accuracy)
        if self.source is not None:
            columns = (SOURCES.c.name, SOURCES.c.source, SOURCES.c.fingerprint)
            fits = sa.or_(*(_matches(column, self.source) for column in columns))
            found.append(BUNDLES.c.id.in_(sa.select(SOURCES.c.bundle).where(fits)))
        if self.licence is not None:
            found.append(_matches(sa.func.lower(BUNDLES.c.licence), self.licence.lower()))
        if self.tag is not None:
            tagged = sa.select(TAGS.c.bundle).where(_matches(TAGS.c.tag, self.tag))
            found.append(BUNDLES.c.id.in_(tagged))
        found += [_within(bound) for bound in self.metrics]
        found += [sa.not_(fits_word(word)) for word in self.exclude]
        return found

    def allows_licence(self, licence: str) -> bool:
        """Whether a licence is the one that is asked for, if one is."""
        return self.licence is None or _is_like(licence.lower(), self.licence.lower())

    def fits(self, candidate: Candidate) -> bool:
        """Whether a supernet that is in no catalog meets the conditions.

        Only space, parameters, MACs, licence, tag and words can be told of such a one; it does not meet any
        other.
        """
        untold = (
            self.name,
            self.max_size,
            self.min_accuracy,
            self.source,
            self.metrics or None,
        )
        return (
            all(condition is None for condition in untold)
            and (self.space is None or candidate.space == self.space)
            and (self.max_params is None or candidate.params <= self.max_params)
            and (self.max_macs is None or candidate.macs <= self.max_macs)
            and self.allows_licence(candidate.licence)
            and (self.tag is None or self.tag in candidate.tags)
            and not any(_is_word_of(word, candidate) for word in self.exclude)
        )


def _is_like(text: str, pattern: str) -> bool:
    """What `_matches` asks of the database."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _is_word_of(word: str, candidate: Candidate) -> bool:
    return word in candidate.tags or (word != "" and candidate.id.startswith(word))


def fits_word(word: str) -> Condition:
    """Whether a word that a person wrote is a tag of a bundle, or the beginning of its id."""
    tagged = BUNDLES.c.id.in_(sa.select(TAGS.c.bundle).where(TAGS.c.tag == word))
    return sa.or_(tagged, begins(BUNDLES.c.id, word)) if word else tagged


def begins(column: sa.ColumnElement[str], prefix: str) -> Condition:
    """Whether a plain text begins with another, of which no sign is special; can use an index."""
    return sa.and_(column >= prefix, column < prefix + "\U0010ffff")


def _within(bound: Bound) -> Condition:
    value = METRICS.c.value
    within = value >= bound.value if bound.relation == ">=" else value <= bound.value
    # Asked of one bundle after another, unlike a tag: most bundles have the metric, and a page or a
    # shortlist looks at few.
    return sa.exists().where(METRICS.c.bundle == BUNDLES.c.id, METRICS.c.name == bound.metric, within)


def _matches(column: sa.ColumnElement[str], text: str) -> Condition:
    if "*" not in text and "?" not in text:
        return column == text
    pattern = text.replace("[", "[[]")  # GLOB's third wildcard, which is not offered
    return column.op("GLOB", is_comparison=True)(pattern)
