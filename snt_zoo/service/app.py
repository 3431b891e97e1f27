"""The application: routes, guards and what they share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from snt_zoo.errors import SntZooError
from snt_zoo.service import api, page
from snt_zoo.service.askers import begun, make_askers
from snt_zoo.service.failures import of_error, of_http, of_validation
from snt_zoo.service.gate import Gate
from snt_zoo.service.guards import check_routes
from snt_zoo.service.logs import log
from snt_zoo.service.metrics import Metrics
from snt_zoo.service.settings import Settings
from snt_zoo.service.work import Workers, threads
from snt_zoo.version import __version__
from snt_zoo.zoo import Zoo


def create_app(zoo: Zoo, settings: Settings) -> FastAPI:
    """The service of a zoo.

    Its `state` has `zoo`, `settings`, `workers`, whose `run` calls a function that blocks, `askers`, which
    answer queries by sketch in processes of their own, or None, `metrics`, and whether it is `closing`.

    Args:
        zoo: whose registry is on this machine; it stays open.
        settings: of the service.

    Raises:
        ServiceError: a route has no rule.
    """
    registry = zoo.registry
    workers = Workers(partial(threads, settings.threads), settings.threads + settings.waiting)
    askers = None
    if settings.askers:
        make = partial(make_askers, registry.home, settings.askers)
        askers = Workers(make, settings.askers + settings.waiting)
    pools = [each for each in (workers, askers) if each is not None]
    metrics = Metrics(supernets=registry.count, busy=lambda: sum(each.busy for each in pools))

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with registry.held():
            if askers is not None:  # what they import takes longer than an answer may
                await asyncio.gather(*(askers.run(begun) for _ in range(settings.askers)))
            yield
            app.state.closing = True
            for each in pools:
                each.close()
        log("ended")

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
    state = app.state
    state.zoo, state.settings, state.workers, state.metrics = zoo, settings, workers, metrics
    state.askers, state.closing = askers, False
    # Not by `include_router`, which may keep routes within others, where no rule would be seen.
    app.router.routes.extend(api.routes())
    app.router.routes.extend(page.routes(zoo).routes)
    check_routes(app.routes)

    async def on_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, SntZooError)
        return of_error(error, registry.home)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return of_http(error)

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return of_validation(error)

    app.add_exception_handler(SntZooError, on_error)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_middleware(Gate, router=app.router, settings=settings, metrics=metrics)
    return app
