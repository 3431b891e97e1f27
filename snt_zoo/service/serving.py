"""Runs a service under uvicorn until it is asked to end."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from snt_zoo.errors import ServiceError
from snt_zoo.service.answering import prepare
from snt_zoo.service.app import create_app
from snt_zoo.service.logs import configure, log
from snt_zoo.service.settings import Settings
from snt_zoo.service.tokens import Tokens, make_tokens
from snt_zoo.zoo import Zoo

__all__ = ["Settings", "Tokens", "make_tokens", "serve"]

_CONNECTIONS = 1_000  # more are told to come again
_KEEP_ALIVE = 15  # seconds that a connection may be idle
_BACKLOG = 512


def serve(zoo: Zoo, settings: Settings, *, on_start: Callable[[str], None] = lambda url: None) -> None:
    """Serve a zoo until SIGINT or SIGTERM, then end when the answers under way are sent.

    Args:
        zoo: whose registry is on this machine.
        settings: of the service.
        on_start: called with its URL when it listens.

    Raises:
        ServiceError: the address is taken, or none of this machine.
    """
    configure()
    prepare(zoo)
    app = create_app(zoo, settings)
    with _listening(settings) as listener:
        host, port = listener.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=_CONNECTIONS,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=round(settings.drain),
            )
        )
        on_start(url)
        log("started", url=url, supernets=zoo.registry.count(), tokens=len(settings.tokens.holders))
        server.run(sockets=[listener])  # which ends with the signal, once the application has ended


def _listening(settings: Settings) -> socket.socket:
    try:
        return socket.create_server(
            (settings.host, settings.port),
            family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET,
            backlog=_BACKLOG,
        )
    except OSError as error:
        raise ServiceError(
            f"cannot listen on {settings.host} port {settings.port} ({error.strerror}): choose another "
            "--port or --host"
        ) from error
