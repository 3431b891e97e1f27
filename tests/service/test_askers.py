"""Queries answered by other processes: the same answers, and one that is killed is made anew."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from snt_zoo.registry.bundle.sketch_file import dump_sketches
from snt_zoo.service.app import create_app
from snt_zoo.zoo import Zoo
from tests.registry.making import make_bundle, sketch
from tests.service.making import GUARDED, READ, shown


def test_processes_answer_as_threads_do_see_what_is_added_and_may_be_killed(zoo: Zoo, tmp_path: Path) -> None:
    raw, headers = dump_sketches([sketch(seed=1)]), shown(READ)
    app = create_app(zoo, replace(GUARDED, askers=1))

    def ask(client: TestClient, **params: str) -> tuple[int, list[str]]:
        answer = client.post("/v1/query", content=raw, headers=headers, params=params)
        return answer.status_code, [match["id"] for match in answer.json().get("matches", [])]

    with (
        TestClient(create_app(zoo, GUARDED), base_url="http://localhost") as plain,
        TestClient(app, base_url="http://localhost") as client,
    ):
        assert ask(client) == ask(plain)
        answer = client.post("/v1/query?distance=logme", content=raw, headers=headers)
        assert (answer.status_code, answer.json()["error"]["kind"]) == (422, "DatasetError")
        added = zoo.registry.add(make_bundle(tmp_path / "fresh", seed=1, name="fresh")).id
        assert added in ask(client)[1]
        (pid,) = app.state.askers._pool._processes
        os.kill(pid, signal.SIGTERM)  # as systemd does to all processes of a service
        assert ask(client)[0] == 200
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ProcessLookupError):
            for _ in range(2):
                status, _ = ask(client)
                assert status in (200, 503)
            os.kill(pid, 0)
        assert ask(client)[0] == 200
    with pytest.raises(RuntimeError):
        app.state.askers._pool.submit(int)
