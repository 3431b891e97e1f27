"""A service on a socket of its own, in a thread."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from snt_zoo.service.settings import Settings
from snt_zoo.service.tokens import Holder, Tokens, digest_of

READ, WRITE, METRICS = "r" * 40, "w" * 40, "m" * 40
TOKENS = Tokens(
    (
        (digest_of(READ), Holder("read", "read")),
        (digest_of(WRITE), Holder("write", "alice")),
        (digest_of(METRICS), Holder("metrics", "metrics")),
    )
)
GUARDED = Settings(tokens=TOKENS, threads=2)
BY_ROLE = {"read": READ, "write": WRITE, "metrics": METRICS}


def shown(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


@contextlib.contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """The URL of an application, for as long as it is needed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
