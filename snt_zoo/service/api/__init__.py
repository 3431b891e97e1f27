"""The routes under `/v1`, and those of health and figures."""

from __future__ import annotations

from fastapi import APIRouter

from snt_zoo.service.api import asking, changing, reading, watching


def routes() -> APIRouter:
    """All of them."""
    router = APIRouter()
    for part in (watching, reading, asking, changing):
        router.include_router(part.router)
    return router
