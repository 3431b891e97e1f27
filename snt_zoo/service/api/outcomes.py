"""What was measured of a supernet: read, and added to by those who may write. Predictions learn from it."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import JSONResponse

from snt_zoo.encoders.outcomes import Outcome, append_outcomes
from snt_zoo.errors import DiskFullError, ReadOnlyRegistryError
from snt_zoo.registry.bundle.fields import Line, Share
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.own_outcomes import FILE, by_supernet, check_wanted
from snt_zoo.registry.registry import Registry
from snt_zoo.registry.store.store import FULL
from snt_zoo.service.api.failing import FAILURES
from snt_zoo.service.guards import allow

router = APIRouter(prefix="/v1", tags=["outcomes"], responses=FAILURES)

_MOST = 100  # outcomes of one request


class Measured(BaseModel):
    """An accuracy that a supernet came to on a dataset.

    `fingerprint` names the dataset; `budget` is seconds of training, 0 for a new head alone; `expected` what
    was predicted beforehand.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    target: Line = Field(min_length=1, max_length=200)
    fingerprint: str = Field(pattern=r"^[0-9a-f]{16}$")
    classes: int = Field(ge=2, le=10**6)
    images: int = Field(ge=1, le=10**12)
    method: Literal["head", "finetune"]
    budget: float = Field(ge=0, le=1e9)
    val: Share | None = None
    val_images: int = Field(default=0, ge=0, le=10**12)
    test: Share | None = None
    test_images: int = Field(default=0, ge=0, le=10**12)
    expected: Share | None = None
    genotype: str = Field(default="", max_length=20_000)
    seed: int = Field(default=0, ge=-(2**63), lt=2**63)
    code_version: Line = Field(default="", max_length=100)

    @model_validator(mode="after")
    def _says_something(self) -> Measured:
        for value, images in ((self.val, self.val_images), (self.test, self.test_images)):
            if (value is None) != (images == 0):
                raise ValueError("an accuracy needs the number of its images, and the other way round")
        if self.val is None and self.test is None:
            raise ValueError("val or test must be given")
        return self

    def of(self, record: Record) -> Outcome:
        """The outcome of a supernet."""
        return Outcome(
            **self.model_dump(),
            change="",
            view="all",
            chance=1 / self.classes,
            name=record.name,
            bundle=record.id,
            digest=record.digest[:16],
            kind="own",
            params=record.params,
            macs=record.macs,
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )


class MeasuredOnes(BaseModel):
    """Some outcomes."""

    model_config = ConfigDict(extra="forbid")

    outcomes: list[Measured] = Field(min_length=1, max_length=_MOST)


class Outcomes(BaseModel):
    """The outcomes of a supernet, oldest first."""

    outcomes: list[dict[str, Any]]


@router.get("/supernets/{id}/outcomes", response_model=Outcomes)
@allow("read")
async def read_outcomes(request: Request, id: str) -> JSONResponse:
    """What was measured of a supernet, by finetunings beside the registry and as was sent, oldest first."""
    registry: Registry = request.app.state.zoo.registry
    return JSONResponse(await request.app.state.workers.run(_read, registry, id))


@router.post("/supernets/{id}/outcomes", response_model=Outcomes, status_code=201)
@allow("write", body=2**20)
async def add_outcomes(request: Request, id: str, measured: MeasuredOnes) -> JSONResponse:
    """Add what a supernet came to, each once; predictions learn from a head for which something was
    `expected`."""
    registry: Registry = request.app.state.zoo.registry
    return JSONResponse(await request.app.state.workers.run(_added, registry, id, measured), 201)


def _read(registry: Registry, id: str) -> dict[str, Any]:
    record = registry.show(registry.resolve(id))
    found = by_supernet(registry.home).get(record.digest[:16], ())
    return {"outcomes": [asdict(one) for one in found]}


def _added(registry: Registry, id: str, measured: MeasuredOnes) -> dict[str, Any]:
    record = registry.show(registry.resolve(id))
    check_wanted()
    known = {replace(one, date="") for one in by_supernet(registry.home).get(record.digest[:16], ())}
    # A client whose answer was lost sends them again.
    new = [
        one for one in (each.of(record) for each in measured.outcomes) if replace(one, date="") not in known
    ]
    try:
        append_outcomes(registry.home / FILE, new)
    except OSError as error:
        kind = DiskFullError if error.errno in FULL else ReadOnlyRegistryError
        raise kind(f"{FILE} cannot be written: {os.strerror(error.errno or 0)}") from error
    return _read(registry, id)
