"""What goes wrong, as an answer: a status, the kind of the error and its one line.

A client of this package raises the same kind again. Paths of this machine do not leave it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from snt_zoo.errors import (
    AlreadyInRegistryError,
    BundleError,
    BusyError,
    DatasetError,
    DiskFullError,
    IndexMismatchError,
    NoMatchError,
    NotInRegistryError,
    OversizedImageError,
    ReadOnlyRegistryError,
    RequestError,
    ServiceAccessError,
    ServiceUnavailableError,
    SntZooError,
    StoreFullError,
    TimeLimitError,
    TooLargeError,
    UnknownComponentError,
)

STATUS: tuple[tuple[type[SntZooError], int], ...] = (
    (NotInRegistryError, 404),
    (NoMatchError, 404),
    (AlreadyInRegistryError, 409),
    (IndexMismatchError, 409),
    (OversizedImageError, 413),
    (TooLargeError, 413),
    (ReadOnlyRegistryError, 507),
    (StoreFullError, 507),
    (DiskFullError, 507),
    (BusyError, 503),
    (TimeLimitError, 504),
    (ServiceUnavailableError, 503),
    (ServiceAccessError, 403),
    (UnknownComponentError, 422),
    (RequestError, 422),
    (BundleError, 422),
    (DatasetError, 422),
    (SntZooError, 422),
)
"""The status of each kind of error; the first that fits."""

_OF_STATUS: Mapping[int, str] = {413: "TooLargeError", 422: "RequestError", 503: "BusyError"}
_AGAIN = {429: "1", 503: "1"}  # seconds, where a client is to come again


_TITLES: Mapping[int, str] = {
    401: "Show a token",
    403: "That is not allowed",
    404: "There is no such thing",
    429: "Too many requests",
    503: "There is too much to do",
}


class Refusal(JSONResponse):
    """An answer that says what is wrong: JSON, or a page where a browser asks for one."""

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str]) -> None:
        super().__init__({"error": {"kind": kind, "message": message}}, status, dict(headers))
        self._message, self._more = message, dict(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        headers = Headers(scope=scope)
        # The page's own scripts read the JSON.
        if "text/html" not in headers.get("accept", "") or "hx-request" in headers:
            await super().__call__(scope, receive, send)
            return
        from snt_zoo.service.page.templating import page  # here, as the pages tell failures by this module

        title = _TITLES.get(self.status_code, "That did not work")
        shown = page("error.html.j2", status=self.status_code, here="", title=title, message=self._message)
        shown.headers.update(self._more)
        await shown(scope, receive, send)


def failure(status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> Refusal:
    """An answer that says what is wrong."""
    again = {"Retry-After": _AGAIN[status]} if status in _AGAIN else {}
    return Refusal(status, kind, message, {**again, **(headers or {})})


def of_error(error: SntZooError, home: Path) -> JSONResponse:
    """The answer for an error of this package."""
    status = status_of(error)
    return failure(status, type(error).__name__, without_paths(str(error), home))


def status_of(error: SntZooError) -> int:
    """The status of the answer for an error of this package."""
    return next(status for kind, status in STATUS if isinstance(error, kind))


def of_http(error: HTTPException) -> JSONResponse:
    """The answer for what the router says: no such route, no such method."""
    kind = _OF_STATUS.get(error.status_code, "ServiceError")
    return failure(error.status_code, kind, str(error.detail), error.headers)


def of_validation(error: RequestValidationError) -> JSONResponse:
    """The answer for a parameter that is missing, or none; what was sent is not repeated."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return failure(422, RequestError.__name__, f"{where}: {first['msg']}")


def without_paths(text: str, home: Path) -> str:
    """A message without the folders of this machine: what stands in them is told, not where they are."""
    for folder in (str(home), str(Path(home).resolve()), tempfile.gettempdir()):
        text = text.replace(f"{folder}/", "").replace(folder, "the registry")
    return text
