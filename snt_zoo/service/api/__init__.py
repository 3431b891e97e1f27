"""The routes under `/v1`, and those of health and figures."""

from __future__ import annotations

from starlette.routing import BaseRoute

from snt_zoo.service.api import asking, changing, outcomes, reading, watching


def routes() -> list[BaseRoute]:
    """All of them."""
    return [route for part in (watching, reading, asking, changing, outcomes) for route in part.router.routes]
