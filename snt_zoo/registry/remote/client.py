"""HTTP to a service: retries with backoff, answers of bounded size, and errors of this package.

Every request may be repeated: what is added is named by its content, and an alias that stands there already
stays. Redirects are not followed, since the token would go along.
"""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError

from snt_zoo import errors
from snt_zoo.errors import ServiceAccessError, ServiceError, ServiceUnavailableError, SntZooError, warn
from snt_zoo.registry.hub.redaction import Secret, redact
from snt_zoo.registry.remote.documents import Failure
from snt_zoo.version import __version__

TOKEN_VARIABLE = "SNT_ZOO_TOKEN"

Parameters = Sequence[tuple[str, str | int | float]]

_BACKOFF = 0.2  # seconds; twice as long each time, up to `_LONGEST`
_LONGEST = 10.0
_BRIEF = 3  # times after the first: 1.4 s in all, where nothing may ever have been there
_PATIENT = 8  # 33 s in all, for a service that has answered before: it is being started anew
_AGAIN = (429, 502, 503)
_CONNECT = 5.0  # seconds
_READ = 120.0
_LONG_READ = 1000.0  # for what is uploaded: a bundle is checked before it is acknowledged
_ANSWER = 64 * 2**20  # bytes of a document
_MESSAGE = 1000  # signs of what a service says
_PART = 1 << 20
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def is_url(text: object) -> bool:
    """Whether a place is a service's, and not a folder.

    Raises:
        ServiceError: it is an address of another kind, and would become a folder of that name.
    """
    scheme, found, _ = text.partition("://") if isinstance(text, str) else ("", "", "")
    if found and scheme.lower() not in ("http", "https"):
        raise ServiceError(f"{text!a} is no address of a service: write http://HOST:PORT, or a folder")
    return bool(found)


class Client:
    """A service, and who asks.

    Args:
        url: of the service, as `http://127.0.0.1:8765`.
        token: by default what `SNT_ZOO_TOKEN` says.
    """

    def __init__(self, url: str, *, token: str | None = None) -> None:
        address = urlsplit(url)
        if not address.hostname or address.username or address.query or address.fragment:
            raise ServiceError(
                f"{redact(url)} is no address of a service: write it as http://HOST:PORT, and put the token "
                f"into {TOKEN_VARIABLE}"
            )
        self.url = url.rstrip("/")
        given = token or os.environ.get(TOKEN_VARIABLE)
        self._token = None if not given else Secret(given.strip())
        if self._token and address.scheme.lower() == "http" and address.hostname not in _THIS_MACHINE:
            warn(f"the token is sent to {self.url} without encryption: use https://")
        self._pool = urllib3.PoolManager(
            headers={"User-Agent": f"snt-zoo/{__version__}", "Accept-Encoding": "identity"}
        )
        self._has_answered = False

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def get(self, *path: str, query: Parameters = ()) -> bytes:
        """A document; raises as `request` does."""
        return self.request("GET", *path, query=query)

    @property
    def has_token(self) -> bool:
        """Whether a token is shown; what it may do the service knows."""
        return self._token is not None

    def send(
        self, method: str, *path: str, query: Parameters = (), document: Mapping[str, Any] | None = None
    ) -> bytes:
        """The answer to a document; raises as `request` does."""
        if document is None:
            return self.request(method, *path, query=query)
        headers = {"Content-Type": "application/json"}
        body = json.dumps(document).encode()
        return self.request(method, *path, query=query, body=body, headers=headers)

    def upload(self, *path: str, query: Parameters = (), files: Mapping[str, Path]) -> bytes:
        """The answer to files that are sent as a form, in constant memory; raises as `request` does."""
        boundary = uuid.uuid4().hex
        with tempfile.TemporaryFile() as body:
            for name, file in files.items():
                head = (
                    f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
                    "Content-Type: application/octet-stream\r\n\r\n"
                )
                body.write(head.encode())
                with file.open("rb") as source:
                    while part := source.read(_PART):
                        body.write(part)
                body.write(b"\r\n")
            body.write(f"--{boundary}--\r\n".encode())
            size = body.tell()
            body.seek(0)
            headers = {
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Content-Length": str(size),
            }
            return self.request("POST", *path, query=query, body=body, headers=headers, read=_LONG_READ)

    def request(
        self,
        method: str,
        *path: str,
        query: Parameters = (),
        body: bytes | IO[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        read: float = _READ,
    ) -> bytes:
        """The answer to a request, which is made again where the service is busy or away.

        Args:
            method: of HTTP.
            path: its parts below `/v1`; each is quoted.
            query: parameters, some of them several times.
            body: to be sent.
            headers: besides those of every request.
            read: seconds without an answer.

        Raises:
            ServiceUnavailableError: it cannot be reached, or answers no more.
            ServiceAccessError: the token is missing, wrong, or may not do that.
            SntZooError: what the service says, as the error that a registry here would raise.
        """
        with self._answer(method, path, query, body, headers, read) as answer:
            raw = answer.read(_ANSWER + 1)
            if len(raw) > _ANSWER:
                raise ServiceError(f"{self.url} answers with more than {_ANSWER:,} bytes: ask for less")
            return raw

    @contextmanager
    def stream(self, *path: str) -> Iterator[urllib3.BaseHTTPResponse]:
        """The answer to a GET, to be read in parts; raises as `request` does."""
        with self._answer("GET", path, (), None, None, _READ) as answer:
            yield answer

    @contextmanager
    def _answer(
        self,
        method: str,
        path: Sequence[str],
        query: Parameters,
        body: bytes | IO[bytes] | None,
        headers: Mapping[str, str] | None,
        read: float,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        url = "/".join((self.url, "v1", *(quote(part, safe="") for part in path)))
        url += f"?{urlencode(query)}" if query else ""
        shown = {} if self._token is None else {"Authorization": f"Bearer {self._token.reveal()}"}
        answer = None
        try:
            answer = self._pool.request(
                method,
                url,
                body=body,
                headers={**self._pool.headers, **(headers or {}), **shown},
                timeout=urllib3.Timeout(connect=_CONNECT, read=read),
                retries=urllib3.Retry(
                    total=_PATIENT if self._has_answered else _BRIEF,
                    backoff_factor=_BACKOFF,
                    backoff_max=_LONGEST,
                    status_forcelist=_AGAIN,
                    allowed_methods=None,  # all of them, see above
                    redirect=False,
                    raise_on_status=False,
                ),
                preload_content=False,
            )
            self._has_answered = True
            if answer.status >= 300:
                raise self._failure(answer.status, answer.read(_ANSWER))
            yield answer
        except (HTTPError, OSError) as error:
            if isinstance(error, SntZooError):
                raise
            reason = error.reason if isinstance(error, MaxRetryError) else error
            raise ServiceUnavailableError(
                f"cannot reach {self.url}: see that `snt-zoo serve` runs there "
                f"({redact(reason, self._secrets)[:_MESSAGE]})"
            ) from None
        finally:
            if answer is not None:
                answer.drain_conn()
                answer.release_conn()

    @property
    def _secrets(self) -> tuple[Secret, ...]:
        return () if self._token is None else (self._token,)

    def _failure(self, status: int, raw: bytes) -> SntZooError:
        """The error that a registry here would raise."""
        try:
            problem = Failure.model_validate_json(raw).error
            kind, message = getattr(errors, problem.kind, None), problem.message[:_MESSAGE]
        except ValueError:
            kind, message = None, "it is no snt-zoo service, or something stands between"
        if status in (401, 403):
            return ServiceAccessError(f"{self.url}: {message}")
        if isinstance(kind, type) and issubclass(kind, SntZooError):
            return kind(message)
        return ServiceError(f"{self.url} answers with status {status}: {message}")
