"""What travels between a service and its clients, as the OpenAPI document says it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from snt_zoo.registry.catalog.aliases import Alias, AliasMove
from snt_zoo.registry.catalog.records import Record

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}-[0-9a-f]{8}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Problem(BaseModel):
    """What is wrong: the kind of the error, as in `snt_zoo.errors`, and one line."""

    kind: str
    message: str


class Failure(BaseModel):
    """An answer that is none."""

    error: Problem


class Supernet(BaseModel):
    """A supernet, by what the registry knows of it without opening it."""

    id: Id
    name: str
    digest: Digest
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

    def record(self, path: Path) -> Record:
        """The record, of a bundle whose folder is there on this machine, or would be."""
        fields = {name: getattr(self, name) for name in Supernet.model_fields}
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        return Record(**{**fields, **lists}, path=path)


class Supernets(BaseModel):
    """A page of the list: how many fit on all pages, and the cursor of the next one."""

    supernets: list[Supernet]
    total: int
    next: str | None


class File(BaseModel):
    """Sha256 in hex, and size in bytes."""

    sha256: Digest
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

    id: Id
    space: str
    sources: list[str]
    score: float
    distance: float | None
    predicted_accuracy: float | None
    predicted_interval: tuple[float, float] | None
    predicted_budget: str | None
    head_accuracy: float | None
    params: int
    macs: int
    class_matches: list[ClassMatch]
    licences: list[str]
    diverged: bool = False


class RankedBy(BaseModel):
    """Which distance ranked, at which level, and what orders the answers."""

    distance: str
    level: str
    by: str


class Matches(BaseModel):
    """The answer of a query, nearest first."""

    matches: list[Match]
    close: bool | None
    ranked_by: RankedBy
    probe: dict[str, Any] | None
    predicted_probe: float | None
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
    id: Id
    digest: Digest

    @classmethod
    def of(cls, alias: Alias) -> AliasDocument:
        """The document of an alias."""
        return cls(**asdict(alias))

    def value(self) -> Alias:
        """The alias."""
        return Alias(**self.model_dump())


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

    def value(self) -> AliasMove:
        """The move."""
        return AliasMove(**self.model_dump())


class Aliases(BaseModel):
    """Aliases; their trail where it is asked for."""

    aliases: list[AliasDocument]
    history: list[MoveDocument]


class Health(BaseModel):
    """Whether the service can answer."""

    status: str
    version: str
