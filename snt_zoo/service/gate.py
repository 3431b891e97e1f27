"""The gate: what every request has to pass before its route sees it, and what is noted of it.

In this order: the host that it calls us by (a page of another site can let its own name lead to this
machine: DNS rebinding), the pace of its client, the rule of its route, the token, the origin of whatever may
change something, the size of its body, and the time that it takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import time
import uuid
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snt_zoo.errors import (
    BusyError,
    RequestError,
    ServiceAccessError,
    ServiceError,
    TimeLimitError,
    TooLargeError,
)
from snt_zoo.service.failures import failure
from snt_zoo.service.guards import Rule, matching, rule_of
from snt_zoo.service.logs import log
from snt_zoo.service.metrics import Metrics
from snt_zoo.service.pace import Pace
from snt_zoo.service.settings import Settings
from snt_zoo.service.tokens import COVERS, Holder

HOLDER = "snt_zoo_holder"
"""Key in a request's scope: whose token was shown; None where none is asked for."""

_SAFE = ("GET", "HEAD", "OPTIONS")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="snt-zoo", Basic realm="snt-zoo"'}
_NO_ROUTE = "none"  # in logs and figures, where a path may be anything
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # A page says what it needs beyond this.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Gate:
    """The outermost application.

    Args:
        app: what is behind it.
        router: whose routes have the rules.
        settings: of the service.
        metrics: that count the answers.
    """

    def __init__(self, app: ASGIApp, *, router: Router, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._router = router
        self._settings = settings
        self._metrics = metrics
        self._pace = Pace(settings.rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:  # there is no route for a web socket
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = time.perf_counter()
        route = next(matching(self._router.routes, scope), None)
        noted = _Noted(send, request=uuid.uuid4().hex[:12])
        rule = None if route is None else rule_of(route)
        refusal = self._refusal(scope, rule, known=route is not None)
        try:
            if refusal is not None:
                await refusal(scope, receive, noted)
            else:
                await self._timed(rule, scope, receive, noted)
        finally:
            seconds = time.perf_counter() - start
            path = _NO_ROUTE if route is None else route.path
            self._metrics.note(path, scope["method"], noted.status, seconds)
            holder: Holder | None = scope.get(HOLDER)
            log(
                "request",
                level=logging.INFO if noted.status < 500 else logging.ERROR,
                request=noted.request,
                method=scope["method"],
                route=path,
                status=noted.status,
                seconds=round(seconds, 4),
                sent=noted.sent,
                client=_client(scope),
                role=None if holder is None else holder.role,
                name=None if holder is None else holder.name,
            )

    # ---- who may pass ---------------------------------------------------------------------------

    def _refusal(self, scope: Scope, rule: Rule | None, *, known: bool) -> Response | None:
        """Why a request may not pass; None if it may."""
        headers = Headers(scope=scope)
        if not self._is_ours(headers.get("host", "")):
            return failure(
                421,
                RequestError.__name__,
                "this service is not called by that host name: use localhost or its address, or start it "
                "with --allow-host NAME",
            )
        if not self._pace.allows(_client(scope)):
            return failure(429, BusyError.__name__, "too many requests of one client: wait a moment")
        if rule is None:
            # No route: the router answers. A route without a rule: nobody may use it.
            return _forbidden("nobody may use that route: it has no rule") if known else None
        if refusal := self._without_token(scope, headers, rule):
            return refusal
        if scope["method"] not in _SAFE and not _same_origin(headers):
            return _forbidden("a page of another site may not ask for that")
        if _declared(headers) > rule.body:
            return _too_large(rule)
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this machine: by an address, which no other site can have, or a name
        that was allowed."""
        name = urlsplit(f"//{host}").hostname if _is_host(host) else None
        if not name:
            return False
        if name in ("localhost", *(each.lower() for each in self._settings.names)):
            return True
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name)
            return True
        return False

    def _without_token(self, scope: Scope, headers: Headers, rule: Rule) -> Response | None:
        tokens = self._settings.tokens
        if rule.scope == "open":
            return None
        if not tokens:
            if rule.scope == "write":
                return _forbidden(
                    "this service was started without tokens, so nothing can be changed: start it with "
                    "--token-file FILE"
                )
            return None
        holder = tokens.holder(headers.get("authorization", ""))
        if holder is None:
            message = f"show a token that may {rule.scope}: set SNT_ZOO_TOKEN, or send Authorization: Bearer"
            return failure(401, ServiceAccessError.__name__, message, _CHALLENGE)
        scope[HOLDER] = holder
        if rule.scope not in COVERS[holder.role]:
            return _forbidden(f"a {holder.role} token may not do that: show one with the role {rule.scope}")
        return None

    # ---- size and time --------------------------------------------------------------------------

    async def _timed(self, rule: Rule | None, scope: Scope, receive: Receive, noted: _Noted) -> None:
        seconds = self._settings.seconds if rule is None or rule.seconds is None else rule.seconds
        bounded = receive if rule is None else _Bounded(receive, rule.body)
        try:
            await asyncio.wait_for(self._app(scope, bounded, noted), seconds)
        except asyncio.TimeoutError:
            answer = failure(504, TimeLimitError.__name__, f"that took more than {seconds:g} s")
        except Exception:
            log("failure", level=logging.ERROR, traceback=True, request=noted.request)
            answer = failure(
                500, ServiceError.__name__, f"the service failed: its log tells more of {noted.request}"
            )
        else:
            return
        if noted.status:  # the answer has begun, and cannot be taken back
            raise ConnectionError("an answer was cut off")
        await answer(scope, receive, noted)


class _Noted:
    """Sends, with the headers of every answer, and notes what was sent."""

    def __init__(self, send: Send, *, request: str) -> None:
        self._send = send
        self.request = request
        self.status = 0
        self.sent = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in (*_HEADERS.items(), ("X-Request-Id", self.request)):
                headers.setdefault(name, value)
            message["headers"] = headers.raw
        elif message["type"] == "http.response.body":
            self.sent += len(message.get("body", b""))
        await self._send(message)


class _Bounded:
    """Receives a body, and no more of it than a route takes."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._left = most

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise TooLargeError("the body is larger than this route takes")
        return message


def _forbidden(message: str) -> Response:
    return failure(403, ServiceAccessError.__name__, message)


def _too_large(rule: Rule) -> Response:
    return failure(
        413, TooLargeError.__name__, f"this route takes at most {rule.body:,} bytes", {"Connection": "close"}
    )


def _same_origin(headers: Headers) -> bool:
    """Whether a request comes from no page, or from one of ours; a browser tells which in `Origin`."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    return urlsplit(origin).scheme in ("http", "https") and origin.partition("://")[2] == headers.get("host")


def _declared(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdecimal() else 0


def _client(scope: Scope) -> str:
    return str((scope.get("client") or ("unknown", 0))[0])


def _is_host(text: str) -> bool:
    """Whether a text can be a host with a port: `urlsplit` would find one in nearly anything."""
    return text.isascii() and text.isprintable() and not set(text) & set("/\\@?# ")
