"""The application: routes, guards and what they share."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib.util import find_spec

from fastapi import FastAPI

from snt_zoo.service.guards import check_routes
from snt_zoo.service.settings import Settings
from snt_zoo.service.work import Workers
from snt_zoo.version import __version__
from snt_zoo.zoo import Zoo


def create_app(zoo: Zoo, settings: Settings) -> FastAPI:
    """The service of a zoo.

    Its `state` has `zoo`, `settings` and `workers`, whose `run` calls a function that blocks.

    Args:
        zoo: whose registry is on this machine; it stays open.
        settings: of the service.

    Raises:
        ServiceError: a route has no rule.
    """
    workers = Workers(settings.threads, settings.waiting)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        workers.close()

    # No pages of FastAPI's own: they load scripts from elsewhere.
    app = FastAPI(
        title="snt-zoo",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.zoo, app.state.settings, app.state.workers = zoo, settings, workers
    if find_spec("snt_zoo.service.page") is not None:
        from snt_zoo.service.page import routes

        app.include_router(routes(zoo))
    check_routes(app.routes)
    return app
