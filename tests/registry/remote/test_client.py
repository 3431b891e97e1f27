from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from snt_zoo.errors import (
    NotInRegistryError,
    ServiceAccessError,
    ServiceError,
    ServiceUnavailableError,
    SntZooWarning,
)
from snt_zoo.registry.remote import client as module
from snt_zoo.registry.remote.client import Client, is_url

TOKEN = "t" * 40
Answer = tuple[int, bytes]


@contextlib.contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler, bytes], Answer]) -> Iterator[str]:
    """A server that answers anything, as something between a client and a service may."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = answer(self, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BACKOFF", 0.01)
    monkeypatch.delenv(module.TOKEN_VARIABLE, raising=False)


def test_a_request_carries_the_token_and_its_parts_are_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str | None]] = []

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> Answer:
        seen.append((request.path, request.headers["Authorization"]))
        return 200, b"{}"

    with answering(answer) as url:
        monkeypatch.setenv(module.TOKEN_VARIABLE, TOKEN)
        client = Client(f"{url}/")
        client.get("supernets", "../x?y", query=[("name", "a&b"), ("name", "ü")])
    assert seen == [("/v1/supernets/..%2Fx%3Fy?name=a%26b&name=%C3%BC", f"Bearer {TOKEN}")]
    assert TOKEN not in repr(client)


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_service_that_is_busy_is_asked_again(status: int) -> None:
    answers = iter([status, status, 200])
    with answering(lambda request, body: (next(answers), b'"done"')) as url:
        assert Client(url).get("supernets") == b'"done"'


def test_a_service_that_starts_anew_is_waited_for(tmp_path: Path) -> None:
    first: list[bytes] = []

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> Answer:
        first.append(body)
        if len(first) == 1:
            request.connection.shutdown(socket.SHUT_RDWR)
        return 201, b"{}"

    file = tmp_path / "README.md"
    file.write_bytes(b"content" * 100_000)
    with answering(answer) as url:
        Client(url).upload("supernets", files={"README.md": file})
    assert len(first) == 2 and first[0] == first[1], "the body is sent again from its beginning"
    assert b'filename="README.md"' in first[0] and file.read_bytes() in first[0]


def test_a_service_that_is_not_there_is_told() -> None:
    with pytest.raises(ServiceUnavailableError, match="see that `snt-zoo serve` runs there"):
        Client("http://127.0.0.1:9").get("supernets")


def test_the_error_is_the_one_that_a_registry_here_would_raise() -> None:
    answers = iter(
        [
            (404, b'{"error": {"kind": "NotInRegistryError", "message": "no supernet x"}}'),
            (403, b'{"error": {"kind": "NotInRegistryError", "message": "not you"}}'),
            (422, b'{"error": {"kind": "os", "message": "what"}}'),
            (422, b'{"error": {"kind": "warn", "message": "what"}}'),
            (500, b"<html>a proxy</html>"),
            (302, b""),
        ]
    )
    with answering(lambda request, body: next(answers)) as url:
        client = Client(url, token=TOKEN)
        with pytest.raises(NotInRegistryError, match="no supernet x"):
            client.get("x")
        with pytest.raises(ServiceAccessError, match="not you"):
            client.get("x")
        for _ in range(2):
            with pytest.raises(ServiceError, match="status 422: what"):
                client.get("x")
        with pytest.raises(ServiceError, match="something stands between"):
            client.get("x")
        with pytest.raises(ServiceError, match="status 302"):  # the token would go along
            client.get("x")


def test_an_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER", 1000)
    with (
        answering(lambda request, body: (200, bytes(1001))) as url,
        pytest.raises(ServiceError, match="more than 1,000 bytes"),
    ):
        Client(url).get("x")


@pytest.mark.parametrize("url", ["http://", "http://user:secret-word@host", "http://host?token=secret-word"])
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ServiceError, match=module.TOKEN_VARIABLE) as caught:
        Client(url)
    assert "secret-word" not in str(caught.value)


def test_a_token_in_plain_text_is_warned_of() -> None:
    with pytest.warns(SntZooWarning, match="without encryption"):
        Client("http://zoo.example:8765", token=TOKEN)


def test_which_places_are_services() -> None:
    assert is_url("http://127.0.0.1:8765") and is_url("HTTPS://zoo.example")
    assert not any(map(is_url, ("zoo", "", None, Path("http://x"), "http")))
    with pytest.raises(ServiceError, match="is no address of a service"):
        is_url("ftp://x")
