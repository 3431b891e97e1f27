"""Queries: by a sketch, by a small upload of images, and the distance between two entries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import IO, Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse

from snt_zoo.encoders.distances import get_distance
from snt_zoo.encoders.target import Target
from snt_zoo.errors import DatasetError
from snt_zoo.registry.bundle.sketch_file import load_sketch
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.remote.documents import Distance, Matches
from snt_zoo.registry.retrieval import BY_ACCURACY, BY_DISTANCE, DEFAULT_DISTANCE, QueryResult, retrieve
from snt_zoo.service.api.failing import FAILURES
from snt_zoo.service.api.parameters import Where
from snt_zoo.service.guards import allow
from snt_zoo.service.receiving import FIELD, image_dataset, sent_files
from snt_zoo.service.settings import MAX_SKETCH_BYTES, UPLOAD_BYTES, UPLOAD_SECONDS, Settings
from snt_zoo.workflows.query import query
from snt_zoo.workflows.shelves import check_excluded
from snt_zoo.zoo import Zoo

router = APIRouter(prefix="/v1", tags=["asking"], responses=FAILURES)

_Count = Annotated[int, Query(ge=1, le=100)]
_By = Annotated[str, Query(pattern=f"^({BY_DISTANCE}|{BY_ACCURACY})$")]
_SKETCH = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_IMAGES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            }
        },
    }
}


@router.post("/query", response_model=Matches, openapi_extra=_SKETCH)
@allow("read", body=MAX_SKETCH_BYTES)
async def query_by_sketch(
    request: Request,
    where: Where,
    k: _Count = 5,
    by: _By = BY_DISTANCE,
    distance: Annotated[str, Query(max_length=40)] = DEFAULT_DISTANCE,
) -> JSONResponse:
    """The supernets that were trained on the most similar data, by a sketch of yours.

    The body is the sketch's file, as `snt_zoo.registry.bundle.sketch_file` writes it: safetensors, made on
    the client's machine, of at most 200,000 bytes. Images are not sent.
    """
    raw = await request.body()
    zoo: Zoo = request.app.state.zoo
    workers = request.app.state.workers
    return JSONResponse(await workers.run(ask, zoo, raw, where, k=k, by=by, distance=distance))


@router.post("/query/images", response_model=Matches, openapi_extra=_IMAGES)
@allow("read", body=UPLOAD_BYTES, seconds=UPLOAD_SECONDS)
async def query_by_images(request: Request, where: Where, k: _Count = 5, probe: bool = False) -> JSONResponse:
    """The same by images: one `.npz` in MedMNIST's layout, one `.zip`, or several files, each called by its
    path in the dataset's folder, as `cats/1.png`.

    With `probe` the answer says what a linear probe comes to, what new heads of the nearest supernets do, and
    so whether any is close; that takes seconds.
    """
    state = request.app.state
    async with sent_files(request, most=state.settings.max_images) as files:
        found = await state.workers.run(ask_images, state.zoo, files, where, state.settings, k=k, probe=probe)
    return JSONResponse(found)


@router.get("/distance", response_model=Distance)
@allow("read")
async def distance(
    request: Request, a: Annotated[str, Query(max_length=200)], b: Annotated[str, Query(max_length=200)]
) -> JSONResponse:
    """How far the data of two supernets are from each other, and which class lies near which."""
    state = request.app.state
    found = await state.workers.run(state.zoo.distance, a, b)
    return JSONResponse(finite(found.to_json()))


def ask(
    zoo: Zoo,
    raw: bytes,
    where: Filter,
    *,
    k: int,
    by: str = BY_DISTANCE,
    distance: str = DEFAULT_DISTANCE,
) -> dict[str, Any]:
    """The answer to a sketch.

    Args:
        zoo: where to look.
        raw: the sketch's file.
        where: conditions on the answers.
        k: how many.
        by: as of `retrieve`.
        distance: what ranks.
    """
    sketch = load_sketch(raw)
    measure = get_distance(distance)
    if measure.needs_images:
        raise DatasetError(f"the distance {distance!r} looks at images, and a sketch has none: take another")
    check_excluded(zoo, where.exclude, None)
    # The distance itself and not its name: nothing is kept on the disk of what is asked once.
    return answer(retrieve(zoo.registry, Target(sketch), k=k, by=by, distance=measure, where=where))


def ask_images(
    zoo: Zoo,
    files: list[tuple[str, IO[bytes]]],
    where: Filter,
    settings: Settings,
    *,
    k: int = 5,
    probe: bool = False,
) -> dict[str, Any]:
    """The answer to an upload.

    Args:
        zoo: where to look.
        files: as of `image_dataset`.
        where: conditions on the answers: only those that `query` has.
        settings: bounds of the upload.
        k: how many answers.
        probe: as of `query`.
    """
    allowed = Filter(
        space=where.space, max_params=where.max_params, max_macs=where.max_macs,
        licence=where.licence, exclude=where.exclude,
    )  # fmt: skip
    if allowed != where:
        raise DatasetError("a query by images knows space, max_params, max_macs, licence and exclude")
    with image_dataset(files, settings) as data:
        found = query(
            zoo,
            data,
            k=k,
            space=where.space,
            max_params=where.max_params,
            max_macs=where.max_macs,
            licence=where.licence,
            exclude=where.exclude,
            probe=probe,
        )
        return answer(found)


def answer(found: QueryResult) -> dict[str, Any]:
    """The document of an answer."""
    document: dict[str, Any] = finite(found.to_json())
    return document


def finite(value: Any) -> Any:
    """A document as JSON can hold it: a number that is not finite becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
