"""The list of supernets, what is known of one, its files, and the aliases."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, JSONResponse

from snt_zoo.errors import leaving_out
from snt_zoo.registry.bundle.folder import open_file
from snt_zoo.registry.bundle.manifest import read_manifest
from snt_zoo.registry.registry import Registry
from snt_zoo.registry.remote.documents import (
    AliasDocument,
    Aliases,
    MoveDocument,
    ShownSupernet,
    Supernet,
    Supernets,
)
from snt_zoo.service.api.failing import FAILURES
from snt_zoo.service.api.parameters import Where
from snt_zoo.service.cursors import LONGEST, cursor, place
from snt_zoo.service.guards import allow
from snt_zoo.service.settings import DOWNLOAD_SECONDS

router = APIRouter(prefix="/v1", tags=["reading"], responses=FAILURES)

Sort = Literal[
    "name", "added", "params", "macs", "size", "accuracy",
    "-name", "-added", "-params", "-macs", "-size", "-accuracy",
]  # fmt: skip
FileName = Literal["config.json", "model.safetensors", "dataset.safetensors", "manifest.json", "README.md"]


@router.get("/supernets", response_model=Supernets)
@allow("read")
async def list_supernets(
    request: Request,
    where: Where,
    sort: Sort = "name",
    after: Annotated[str | None, Query(max_length=LONGEST, alias="cursor")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JSONResponse:
    """The supernets that fit, a page at a time; `total` counts those on all pages."""
    registry: Registry = request.app.state.zoo.registry

    def listed() -> dict[str, Any]:
        begin = None if after is None else place(after, where, sort)
        page = registry.page(where, sort=sort, after=begin, limit=limit)
        following = None if page.end is None else cursor(page.end, where, sort)
        documents = [Supernet.of(record).model_dump() for record in page.records]
        return {"supernets": documents, "total": page.total, "next": following}

    return JSONResponse(await request.app.state.workers.run(listed))


@router.get("/supernets/{id}", response_model=ShownSupernet)
@allow("read")
async def show_supernet(request: Request, id: str) -> JSONResponse:
    """What is known of a supernet; `id` may be its name, a beginning, NAME@ALIAS or NAME@DIGEST."""
    registry: Registry = request.app.state.zoo.registry

    def shown() -> dict[str, Any]:
        record = registry.show(registry.resolve(id))
        found: dict[str, Any] = {"config": None, "files": {}}
        with leaving_out(f"what {record.id} says of itself"):
            manifest = read_manifest(record.path)
            found["files"] = {name: entry.model_dump() for name, entry in manifest.all_files.items()}
            found["config"] = record.document()
        return Supernet.of(record).model_dump() | found

    return JSONResponse(await request.app.state.workers.run(shown))


@router.get(
    "/supernets/{id}/files/{name}",
    response_class=FileResponse,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The file."},
        206: {"content": {"application/octet-stream": {}}, "description": "The ranges that were asked for."},
        416: {"content": {"text/plain": {}}, "description": "There is no such range."},
    },
)
@allow("read", seconds=DOWNLOAD_SECONDS)
async def download(request: Request, id: str, name: FileName) -> FileResponse:
    """A file of a bundle; `Repr-Digest` and `ETag` have its sha256 by the manifest. Ranges are answered."""
    registry: Registry = request.app.state.zoo.registry

    def found() -> tuple[Path, str]:
        record = registry.show(registry.resolve(id))
        with open_file(record.path, name):  # no link, and of bounded size
            pass
        return record.path / name, read_manifest(record.path).hashes[name]

    path, sha256 = await request.app.state.workers.run(found)
    digest = base64.b64encode(bytes.fromhex(sha256)).decode()
    headers = {"ETag": f'"{sha256}"', "Repr-Digest": f"sha-256=:{digest}:"}
    return FileResponse(path, headers=headers, media_type="application/octet-stream")


@router.get("/aliases", response_model=Aliases)
@allow("read")
async def list_aliases(
    request: Request,
    name: Annotated[str | None, Query(max_length=200)] = None,
    alias: Annotated[str | None, Query(max_length=200)] = None,
    history: bool = False,
) -> JSONResponse:
    """The aliases, all or those of a name; and every move of them, oldest first, if asked for."""
    registry: Registry = request.app.state.zoo.registry

    def listed() -> dict[str, Any]:
        moves = registry.aliases.history(name, alias) if history else []
        found = [one for one in registry.aliases.all(name) if alias in (None, one.alias)]
        return {
            "aliases": [AliasDocument.of(one).model_dump() for one in found],
            "history": [MoveDocument.of(move).model_dump() for move in moves],
        }

    return JSONResponse(await request.app.state.workers.run(listed))
