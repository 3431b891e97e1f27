"""The page of one run while it goes on, for `snt-zoo finetune --watch`: on this machine alone."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

from snt_zoo.service.gate import Gate
from snt_zoo.service.guards import allow, check_routes
from snt_zoo.service.metrics import Metrics
from snt_zoo.service.page.router import static
from snt_zoo.service.page.runs import RunView, read_run
from snt_zoo.service.page.site import run_page
from snt_zoo.service.settings import Settings

HOST = "127.0.0.1"
_LINGER = 3.0  # seconds; a page that is open asks every two


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[str]:
    """Serve the page of a run, on a port that is free.

    Args:
        folder: of the run: nothing but its checkpoint's header and its report is read.

    Yields:
        The address.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind((HOST, 0))
        listener.listen()  # who comes before the thread has started waits
        port = listener.getsockname()[1]
        app = run_app(folder)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True, name="snt-zoo-watch")
        thread.start()
        try:
            yield f"http://{HOST}:{port}/runs/{quote(folder.name)}"
            if time.monotonic() - app.state.asked < _LINGER:  # somebody looks: they shall see how it ended
                time.sleep(_LINGER)
        finally:
            server.should_exit = True
            thread.join(timeout=5)


def run_app(folder: Path) -> FastAPI:
    """The application that shows one run."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    app.state.asked = float("-inf")

    @app.get("/")
    @app.get("/runs/{name}")
    @allow("open")
    def show_run(name: str = "") -> HTMLResponse:
        app.state.asked = time.monotonic()
        now = time.time()
        run = read_run(folder, now=now)
        if run is None:  # a checkpoint is being put in place, or the first files are being written
            run = RunView(folder.name, "begins", "", "", (), 0.0, None, "", 0.0, None)
        return run_page(run, alone=True)

    @app.get("/static/{name}")
    @allow("open")
    def show_file(name: str) -> Response:
        return static(name)

    check_routes(app.routes)
    metrics = Metrics(supernets=lambda: 0, busy=lambda: 0)
    app.add_middleware(Gate, router=app.router, settings=Settings(host=HOST), metrics=metrics)
    return app
