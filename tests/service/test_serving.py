from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from snt_zoo.errors import ServiceUnavailableError
from snt_zoo.registry import Registry
from snt_zoo.registry.bundle.sketch_file import dump_sketches
from snt_zoo.registry.remote.client import Client
from snt_zoo.registry.remote.registry import RemoteRegistry
from snt_zoo.service.tokens import make_tokens
from snt_zoo.zoo import Zoo
from tests.registry.making import make_bundle, sketch

WAIT = 60.0  # seconds for a process to start


def start(home: Path, *options: object) -> tuple[subprocess.Popen[str], str]:
    """`snt-zoo serve` in a process of its own, and its URL."""
    code = (
        "from unittest.mock import patch\n"
        "with patch('snt_zoo.registry.starter.starter_bundles', list):\n"
        "    from snt_zoo.cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--home", str(home), *map(str, options)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"^serving .* at (http://\S+)", line):
            return process, found[1]
    raise AssertionError(f"it ended with {process.wait()}")


def finish(process: subprocess.Popen[str]) -> list[str]:
    """What it wrote on stderr until it ended."""
    _, lines = process.communicate(timeout=WAIT)
    return lines.splitlines()


@pytest.fixture
def served(zoo: Zoo, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str, dict[str, str]]]:
    make_tokens(tmp_path / "tokens")
    tokens = dict(line.split() for line in (tmp_path / "tokens").read_text().splitlines())
    process, url = start(zoo.registry.home, "--token-file", tmp_path / "tokens")
    yield process, url, tokens
    process.kill()
    process.communicate()


def test_it_serves_until_it_is_asked_to_end_and_sends_what_is_under_way(
    served: tuple[subprocess.Popen[str], str, dict[str, str]], tmp_path: Path, zoo: Zoo
) -> None:
    process, url, tokens = served
    remote = RemoteRegistry.at(url, token=tokens["write"], cache=tmp_path / "cache")
    assert remote.count() == 3
    added: list[str] = []
    bundle = make_bundle(tmp_path / "fresh", seed=9, name="fresh")
    thread = threading.Thread(target=lambda: added.append(remote.add(bundle).id))
    thread.start()
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    thread.join()
    lines = finish(process)
    assert process.returncode in (0, 143, -signal.SIGTERM)
    assert added and Registry.open(zoo.registry.home).show(added[0])
    events = [json.loads(line) for line in lines if line.startswith("{")]
    assert {"request", "ended"} <= {event["event"] for event in events}
    assert all(line.startswith("{") for line in lines), lines
    for token in tokens.values():
        assert token not in "\n".join(lines)


def test_a_port_that_is_taken_is_told(served: tuple[subprocess.Popen[str], str, dict[str, str]]) -> None:
    from click.testing import CliRunner

    from snt_zoo.cli.main import main

    port = served[1].rpartition(":")[2]
    result = CliRunner().invoke(main, ["serve", "--port", port])
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in result.stderr


def test_no_acknowledged_add_is_lost_when_the_service_is_killed(tmp_path: Path) -> None:
    """A few rounds of `benchmarks.service_crash`, whose clients add and query while it is killed."""
    from benchmarks.service_crash import run

    rows = run(2, seed=1, folder=tmp_path)
    assert [row["wrong"] for row in rows] == [[], []]
    assert sum(row["acknowledged"] for row in rows) > 0


def test_a_service_that_is_gone_is_told(
    served: tuple[subprocess.Popen[str], str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, url, tokens = served
    monkeypatch.setattr("snt_zoo.registry.remote.client._BACKOFF", 0.01)
    client = Client(url, token=tokens["read"])
    answer = client.request("POST", "query", body=dump_sketches([sketch(seed=1)]))
    assert len(json.loads(answer)["matches"]) == 3
    process.kill()
    process.wait()
    with pytest.raises(ServiceUnavailableError, match="snt-zoo serve"):
        client.get("supernets")
