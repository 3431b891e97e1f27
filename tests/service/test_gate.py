from __future__ import annotations

import asyncio
import json
import logging
import threading
import time

import pytest
from fastapi import Request
from starlette.testclient import TestClient

from snt_zoo.service.app import create_app
from snt_zoo.service.guards import allow
from snt_zoo.service.settings import MAX_SKETCH_BYTES, Settings
from snt_zoo.zoo import Zoo
from tests.service.making import READ, WRITE, shown


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8765", "127.0.0.1:80", "[::1]:8765", "192.168.1.9", "zoo.example:8765"]
)
def test_it_answers_to_its_own_names(zoo: Zoo, host: str) -> None:
    with TestClient(create_app(zoo, Settings(names=("zoo.example",)))) as client:
        assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.example:8765",
        "",
        "127.0.0.1.evil.example",
        "a@localhost",
    ],
)
def test_a_name_that_was_not_allowed_is_refused(zoo: Zoo, host: str) -> None:
    """A page of another site can let its own name lead to this machine."""
    with TestClient(create_app(zoo, Settings(names=("zoo.example",)))) as client:
        assert client.get("/v1/supernets", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_a_page_of_another_site_changes_nothing(
    guarded: TestClient, headers: dict[str, str], status: int
) -> None:
    answer = guarded.post(
        "/v1/supernets/letters/tags", json={"add": ["seen"]}, headers=shown(WRITE) | headers
    )
    assert answer.status_code == status
    kept = guarded.get("/v1/supernets/letters", headers=shown(READ)).json()["tags"]
    assert ("seen" in kept) == (status == 200)


def test_without_tokens_everything_may_be_read_and_nothing_changed(client: TestClient) -> None:
    assert client.get("/v1/supernets").status_code == 200
    assert client.get("/metrics").status_code == 200
    answer = client.post("/v1/supernets/letters/tags", json={"add": ["seen"]})
    assert answer.status_code == 403
    assert "--token-file" in answer.json()["error"]["message"]


def test_a_browser_is_asked_for_a_token_and_may_show_it_as_a_password(guarded: TestClient) -> None:
    answer = guarded.get("/v1/supernets")
    assert answer.status_code == 401
    assert "Basic" in answer.headers["www-authenticate"]
    assert guarded.get("/v1/supernets", auth=("anybody", READ)).status_code == 200
    assert guarded.get("/v1/supernets", auth=("anybody", READ[:-1])).status_code == 401


def test_what_is_too_large_is_refused_before_it_is_read(client: TestClient) -> None:
    answer = client.post("/v1/query", content=bytes(MAX_SKETCH_BYTES + 1))
    assert (answer.status_code, answer.json()["error"]["kind"]) == (413, "TooLargeError")


def test_what_turns_out_to_be_too_large_is_refused_too(client: TestClient) -> None:
    def parts() -> object:
        for _ in range(MAX_SKETCH_BYTES // 1000 + 1):
            yield bytes(1000)

    answer = client.post("/v1/query", content=parts())  # type: ignore[arg-type]  # no length is declared
    assert (answer.status_code, answer.json()["error"]["kind"]) == (413, "TooLargeError")


def test_one_client_cannot_ask_without_end(zoo: Zoo) -> None:
    with TestClient(create_app(zoo, Settings(rate=0.5)), base_url="http://localhost") as client:
        answers = [client.get("/health").status_code for _ in range(8)]
        assert answers == [200] * 5 + [429] * 3
        assert client.get("/health").headers["retry-after"] == "1"


def test_what_takes_too_long_is_given_up(zoo: Zoo) -> None:
    app = create_app(zoo, Settings(seconds=0.05))

    @allow("read")
    async def slow() -> None:
        await asyncio.sleep(5)

    app.add_api_route("/slow", slow)
    with TestClient(app, base_url="http://localhost") as client:
        began = time.monotonic()
        answer = client.get("/slow")
        assert (answer.status_code, answer.json()["error"]["kind"]) == (504, "TimeLimitError")
        assert time.monotonic() - began < 2


def test_when_all_threads_are_busy_clients_are_told_to_come_again(zoo: Zoo) -> None:
    app = create_app(zoo, Settings(threads=1, waiting=0))
    hold, held = threading.Event(), threading.Event()

    def block() -> None:
        held.set()
        hold.wait(10)

    @allow("read")
    async def busy(request: Request) -> None:
        await request.app.state.workers.run(block)

    app.add_api_route("/busy", busy)
    with TestClient(app, base_url="http://localhost") as client:
        thread = threading.Thread(target=client.get, args=("/busy",))
        thread.start()
        assert held.wait(5)
        answer = client.get("/v1/supernets")
        hold.set()
        thread.join()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.get("/v1/supernets").status_code == 200


def test_a_failure_tells_a_client_nothing_but_where_the_log_has_it(
    zoo: Zoo, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(zoo, Settings())

    @allow("open")
    async def broken() -> None:
        raise KeyError("the inside")

    app.add_api_route("/broken", broken)
    with (
        caplog.at_level(logging.INFO, "snt_zoo.service"),
        TestClient(app, base_url="http://localhost") as client,
    ):
        answer = client.get("/broken")
    assert answer.status_code == 500
    assert "the inside" not in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert "the inside" in caplog.text


def test_every_answer_forbids_scripts_and_frames(client: TestClient) -> None:
    for path in ("/v1/supernets", "/nothing", "/v1/supernets/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_logs_hold_no_token_and_no_query(guarded: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "snt_zoo.service"):
        guarded.get("/v1/supernets?source=private", headers=shown(READ))
        guarded.get(f"/v1/supernets?token={READ}", headers={"Authorization": "Bearer wrong-secret-token"})
    assert READ not in caplog.text and "private" not in caplog.text and "wrong-secret" not in caplog.text
    fields = [vars(record)["fields"] for record in caplog.records]
    assert [(one["route"], one["status"], one["role"]) for one in fields] == [
        ("/v1/supernets", 200, "read"),
        ("/v1/supernets", 401, None),
    ]
    json.dumps(fields)


def test_there_are_no_pages_that_load_scripts_from_elsewhere(client: TestClient) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404


def test_a_path_that_is_no_route_is_not_found_and_another_method_not_allowed(client: TestClient) -> None:
    answer = client.get("/v1/nothing")
    assert (answer.status_code, answer.json()["error"]["kind"]) == (404, "ServiceError")
    assert client.put("/v1/supernets").status_code == 405
