"""Queries: by a sketch, by a small upload of images, and the distance between two entries."""

from __future__ import annotations

from typing import IO, Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from snt_zoo.errors import DatasetError
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.remote.documents import Distance, Matches
from snt_zoo.registry.retrieval import BY_ACCURACY, BY_DISTANCE, DEFAULT_DISTANCE
from snt_zoo.service.answering import ask, rendered
from snt_zoo.service.api.failing import FAILURES
from snt_zoo.service.api.parameters import Where
from snt_zoo.service.askers import answered
from snt_zoo.service.guards import allow
from snt_zoo.service.receiving import FIELD, image_dataset, sent_files
from snt_zoo.service.settings import MAX_SKETCH_BYTES, UPLOAD_BYTES, UPLOAD_SECONDS, Settings
from snt_zoo.workflows.query import query
from snt_zoo.zoo import Zoo

router = APIRouter(prefix="/v1", tags=["asking"], responses=FAILURES)

_JSON = "application/json"
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
) -> Response:
    """The supernets that were trained on the most similar data, by a sketch of yours.

    The body is the sketch's file, as `snt_zoo.registry.bundle.sketch_file` writes it: safetensors, made on
    the client's machine, of at most 200,000 bytes. Images are not sent.
    """
    raw = await request.body()
    state = request.app.state
    options: dict[str, Any] = {"k": k, "by": by, "distance": distance}
    if state.askers is not None:
        content = await state.askers.run(answered, raw, where, options)
    else:
        content = await state.workers.run(lambda: rendered(ask(state.zoo, raw, where, **options)))
    return Response(content, media_type=_JSON)


@router.post("/query/images", response_model=Matches, openapi_extra=_IMAGES)
@allow("read", body=UPLOAD_BYTES, seconds=UPLOAD_SECONDS)
async def query_by_images(request: Request, where: Where, k: _Count = 5, probe: bool = False) -> Response:
    """The same by images: one `.npz` in MedMNIST's layout, one `.zip`, or several files, each called by its
    path in the dataset's folder, as `cats/1.png`.

    With `probe` the answer says what a linear probe comes to, what new heads of the nearest supernets do, and
    so whether any is close; that takes seconds.
    """
    state = request.app.state
    async with sent_files(request, most=state.settings.max_images) as files:
        found = await state.workers.run(ask_images, state.zoo, files, where, state.settings, k=k, probe=probe)
    return Response(rendered(found), media_type=_JSON)


@router.get("/distance", response_model=Distance)
@allow("read")
async def distance(
    request: Request, a: Annotated[str, Query(max_length=200)], b: Annotated[str, Query(max_length=200)]
) -> Response:
    """How far the data of two supernets are from each other, and which class lies near which."""
    state = request.app.state
    found = await state.workers.run(state.zoo.distance, a, b)
    return Response(rendered(found.to_json()), media_type=_JSON)


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
        return found.to_json()
