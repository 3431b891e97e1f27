"""What changes the registry: added bundles, aliases, tags. An answer means that it is on the disk."""

from __future__ import annotations

from typing import IO, Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from snt_zoo.errors import RequestError
from snt_zoo.registry.bundle.folder import FILE_LIMITS
from snt_zoo.registry.registry import Registry
from snt_zoo.registry.remote.documents import AliasDocument, Supernet
from snt_zoo.service.api.failing import FAILURES
from snt_zoo.service.gate import HOLDER
from snt_zoo.service.guards import allow
from snt_zoo.service.receiving import FIELD, bundle_folder, sent_files
from snt_zoo.service.settings import BUNDLE_BYTES, UPLOAD_SECONDS
from snt_zoo.service.tokens import Holder

router = APIRouter(prefix="/v1", tags=["changing"], responses=FAILURES)

_Labels = Annotated[list[str], Query(max_length=20)]
_Word = Annotated[str, Path(max_length=200)]
_BUNDLE = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {
                            "type": "array",
                            "minItems": len(FILE_LIMITS),
                            "maxItems": len(FILE_LIMITS),
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            }
        },
    }
}


class Tags(BaseModel):
    """Tags to add and to remove."""

    model_config = ConfigDict(extra="forbid")

    add: list[str] = Field(default=[], max_length=50)
    remove: list[str] = Field(default=[], max_length=50)


class Move(BaseModel):
    """The version for which an alias is to stand, and a line for the trail."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(max_length=200)
    why: str = Field(default="", max_length=1000)


@router.post("/supernets", response_model=Supernet, status_code=201, openapi_extra=_BUNDLE)
@allow("write", body=BUNDLE_BYTES, seconds=UPLOAD_SECONDS)
async def add_supernet(
    request: Request,
    tag: _Labels = [],  # noqa: B006
    alias: _Labels = [],  # noqa: B006
) -> JSONResponse:
    """Add a bundle: a form with its five files. It is checked as any bundle that comes into a registry."""
    state = request.app.state
    async with sent_files(request, most=len(FILE_LIMITS)) as files:
        document = await state.workers.run(_add, state.zoo.registry, files, tuple(tag), tuple(alias))
    return JSONResponse(document, 201)


@router.post("/supernets/{id}/tags", response_model=Supernet)
@allow("write")
async def tag_supernet(request: Request, id: str, tags: Tags) -> JSONResponse:
    """Give a supernet tags, and take some away, in this registry."""
    registry: Registry = request.app.state.zoo.registry

    def tagged() -> dict[str, Any]:
        return Supernet.of(registry.tag(registry.resolve(id), add=tags.add, remove=tags.remove)).model_dump()

    return JSONResponse(await request.app.state.workers.run(tagged))


@router.put("/aliases/{name}/{alias}", response_model=AliasDocument)
@allow("write")
async def move_alias(request: Request, name: _Word, alias: _Word, move: Move) -> JSONResponse:
    """Let an alias of a name stand for a version of it; the trail says that the token's holder did so."""
    registry: Registry = request.app.state.zoo.registry
    by = _holder(request)

    def moved() -> dict[str, Any]:
        record = registry.show(registry.resolve(move.id))
        if record.name != name:
            raise RequestError(f"{record.id} is a version of {record.name}, not of {ascii(name)[:80]}")
        return AliasDocument.of(registry.aliases.move(alias, record.id, why=move.why, by=by)).model_dump()

    return JSONResponse(await request.app.state.workers.run(moved))


@router.delete("/aliases/{name}/{alias}", status_code=204, response_class=Response)
@allow("write")
async def drop_alias(
    request: Request, name: _Word, alias: _Word, why: Annotated[str, Query(max_length=1000)] = ""
) -> Response:
    """Take an alias away; its trail stays."""
    registry: Registry = request.app.state.zoo.registry
    await request.app.state.workers.run(registry.aliases.drop, name, alias, why=why, by=_holder(request))
    return Response(status_code=204)


def _add(
    registry: Registry, files: list[tuple[str, IO[bytes]]], tags: tuple[str, ...], aliases: tuple[str, ...]
) -> dict[str, Any]:
    with bundle_folder(files) as folder:
        return Supernet.of(registry.add(folder, tags=tags, aliases=aliases)).model_dump()


def _holder(request: Request) -> str:
    holder: Holder = request.scope[HOLDER]
    return holder.name
