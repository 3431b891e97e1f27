"""The routes of the page. Whoever may read the registry may see it; the files of the page itself are open."""

from __future__ import annotations

from importlib import resources
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from snt_zoo.errors import RequestError, SntZooError
from snt_zoo.service.guards import allow
from snt_zoo.service.page.site import NOTHING_SENT, Site
from snt_zoo.service.page.templating import HEADERS
from snt_zoo.service.receiving import sent_files
from snt_zoo.service.settings import UPLOAD_BYTES, UPLOAD_SECONDS
from snt_zoo.zoo import Zoo

FILES = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "htmx.LICENSE": "text/plain; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The files of the page, all that there are, and what each is."""

_EMPTY_FIELDS = 2  # files without a name, one for each field of the form that was left empty


def routes(zoo: Zoo) -> APIRouter:
    """The routes of the page of a zoo.

    Args:
        zoo: that is shown; its registry is on this machine.
    """
    site = Site(zoo)
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    async def answer(request: Request, show: Any, *args: Any, **kwargs: Any) -> Response:
        response: Response = await request.app.state.workers.run(site.answer, show, *args, **kwargs)
        return response

    @router.get("/")
    @allow("read")
    async def show_map(request: Request) -> Response:
        return await answer(request, site.map, dict(request.query_params))

    @router.get("/supernets")
    @allow("read")
    async def show_list(request: Request) -> Response:
        return await answer(request, site.list, dict(request.query_params))

    @router.get("/supernets/{id}")
    @allow("read")
    async def show_entry(request: Request, id: str) -> Response:
        return await answer(request, site.entry, id, url=_url(request))

    @router.get("/compare")
    @allow("read")
    async def show_comparison(request: Request) -> Response:
        return await answer(request, site.compare, dict(request.query_params), url=_url(request))

    @router.get("/query")
    @allow("read")
    async def show_form(request: Request) -> Response:
        return await answer(request, site.ask, {}, request.app.state.settings, url=_url(request))

    @router.post("/query")
    @allow("read", body=UPLOAD_BYTES, seconds=UPLOAD_SECONDS)
    async def show_answer(request: Request) -> Response:
        settings = request.app.state.settings
        try:
            async with sent_files(request, most=settings.max_images + _EMPTY_FIELDS) as files:
                fields = {key: text for key, text in (await request.form()).items() if isinstance(text, str)}
                return await answer(request, site.ask, fields, settings, files, url=_url(request))
        except RequestError:  # no form, or none with a file
            wrong: SntZooError = RequestError(NOTHING_SENT)
        except SntZooError as error:
            wrong = error
        except HTTPException as error:  # more files than are taken
            wrong = RequestError(f"{error.detail}: send at most {settings.max_images:,} images")
        return await answer(request, site.ask, {}, settings, wrong=wrong, url=_url(request))

    @router.get("/runs")
    @allow("read")
    async def show_runs(request: Request) -> Response:
        return await answer(request, site.runs, request.app.state.settings.runs)

    @router.get("/runs/{name}")
    @allow("read")
    async def show_run(request: Request, name: str) -> Response:
        return await answer(request, site.run, request.app.state.settings.runs, name)

    @router.get("/static/{name}")
    @allow("open")
    async def show_file(name: str) -> Response:
        return static(name)

    return router


def _url(request: Request) -> str:
    """Under which this service is called: the gate let the request in, so the name is one of ours."""
    return str(request.base_url).rstrip("/")


def static(name: str) -> Response:
    """A file of the page; no path is made of what a client says, unless it is one of `FILES`."""
    if name not in FILES:
        return Response("no such file", 404, HEADERS, "text/plain")
    content = resources.files("snt_zoo.service.page").joinpath("static", name).read_bytes()
    # The address holds the version: what was kept of another is not asked for.
    kept = {**HEADERS, "Cache-Control": "max-age=86400"}
    return Response(content, 200, kept, FILES[name])
