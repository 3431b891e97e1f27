"""What the service answers, as the OpenAPI document says it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from snt_zoo.registry.catalog.aliases import Alias, AliasMove
from snt_zoo.registry.catalog.records import Record


class Problem(BaseModel):
    """What is wrong: the kind of the error, as in `snt_zoo.errors`, and one line."""

    kind: str
    message: str


class Failure(BaseModel):
    """An answer that is none."""

    error: Problem


class Supernet(BaseModel):
    """A supernet, by what the registry knows of it without opening it."""

    id: str
    name: str
    digest: str
    space: str
    params: int
    macs: int
    supernet_params: int
    val_accuracy: float | None
    test_accuracy: float | None
    sources: list[str]
    fingerprints: list[str]
    tags: list[str]
    aliases: list[str]
    licence: str
    backbone: str
    encoder: str
    added_at: str
    size: int
    parent: str | None
    seed: int | None
    code_version: str | None

    @classmethod
    def of(cls, record: Record) -> Supernet:
        """The document of a record; where the bundle lies is not told."""
        return cls(**{name: value for name, value in asdict(record).items() if name != "path"})


class Supernets(BaseModel):
    """A page of the list: how many fit on all pages, and the cursor of the next one."""

    supernets: list[Supernet]
    total: int
    next: str | None


class File(BaseModel):
    """Sha256 in hex, and size in bytes."""

    sha256: str
    size: int


class ShownSupernet(Supernet):
    """A supernet with its files, and what its `config.json` says; null if it was damaged."""

    files: dict[str, File]
    config: dict[str, Any] | None


class ClassMatch(BaseModel):
    """A class of the target, and the nearest class of a source."""

    target: str
    source: str
    source_class: str
    distance: float


class Match(BaseModel):
    """A supernet that was trained on similar data, and why: which class lies near which."""

    id: str
    space: str
    sources: list[str]
    score: float
    distance: float | None
    predicted_accuracy: float | None
    head_accuracy: float | None
    params: int
    macs: int
    class_matches: list[ClassMatch]
    licences: list[str]
    diverged: bool = False


class RankedBy(BaseModel):
    """Which distance ranked, and at which level."""

    distance: str
    level: str


class Matches(BaseModel):
    """The answer of a query, nearest first."""

    matches: list[Match]
    close: bool | None
    ranked_by: RankedBy
    probe: dict[str, Any] | None
    seconds: dict[str, float]


class ComparedClass(BaseModel):
    """A class of the one side, where most of it is carried, and how much."""

    target: str
    source_class: str
    mass: float
    distance: float


class Compared(BaseModel):
    """One side of a comparison."""

    name: str
    classes: int


class Distance(BaseModel):
    """How far two datasets are from each other."""

    a: Compared
    b: Compared
    distance: float
    level: str
    parts: dict[str, float]
    class_matches: list[ComparedClass]


class AliasDocument(BaseModel):
    """A name for a version."""

    name: str
    alias: str
    id: str
    digest: str

    @classmethod
    def of(cls, alias: Alias) -> AliasDocument:
        """The document of an alias."""
        return cls(**asdict(alias))


class MoveDocument(BaseModel):
    """An entry of the trail: when, from which version to which, by whom and why."""

    at: str
    name: str
    alias: str
    previous: str | None
    digest: str | None
    by: str
    why: str

    @classmethod
    def of(cls, move: AliasMove) -> MoveDocument:
        """The document of a move."""
        return cls(**asdict(move))


class Aliases(BaseModel):
    """Aliases; their trail where it is asked for."""

    aliases: list[AliasDocument]
    history: list[MoveDocument]


class Health(BaseModel):
    """Whether the service can answer."""

    status: str
    version: str


FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": text}
    for status, text in (
        (400, "The request cannot be read."),
        (401, "A token is missing, or wrong."),
        (403, "The token may not do that, or nobody may."),
        (404, "There is no such thing, or nothing meets the constraints."),
        (409, "It is there already, or cannot be compared with what is there."),
        (413, "More was sent than is taken."),
        (421, "The service is not called by that host name."),
        (422, "A parameter, or what was sent, is not as it must be."),
        (429, "Too many requests of one client."),
        (500, "The service failed."),
        (503, "There is too much to do, or it took too long."),
        (507, "The registry cannot be written to, or is full."),
    )
}
"""What every route may answer besides."""
