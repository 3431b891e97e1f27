"""Whether the service lives, whether it can answer, its figures, and what it understands."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from snt_zoo.errors import SntZooError
from snt_zoo.registry.remote.documents import Health
from snt_zoo.service.api.failing import FAILURES
from snt_zoo.service.guards import allow
from snt_zoo.service.metrics import TEXT
from snt_zoo.version import __version__

router = APIRouter(tags=["watching"], responses=FAILURES)


@router.get("/health", response_model=Health)
@allow("open")
async def health() -> JSONResponse:
    """Whether the process lives."""
    return JSONResponse({"status": "ok", "version": __version__})


@router.get("/ready", response_model=Health)
@allow("open")
async def ready(request: Request) -> JSONResponse:
    """Whether it can answer: not while it ends, nor where the catalog cannot be read."""
    state = request.app.state
    status = "ok"
    if state.closing:
        status = "closing"
    else:
        try:
            await state.workers.run(state.zoo.registry.count)
        except SntZooError:
            status = "the registry cannot be read"
    return JSONResponse({"status": status, "version": __version__}, 200 if status == "ok" else 503)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
@allow("metrics")
async def metrics(request: Request) -> Response:
    """Figures in Prometheus's text format."""
    state = request.app.state
    return Response(await state.workers.run(state.metrics.text), media_type=TEXT)


@router.get("/v1/openapi.json")
@allow("read")
async def openapi(request: Request) -> dict[str, Any]:
    """This document."""
    document: dict[str, Any] = request.app.openapi()
    return document
