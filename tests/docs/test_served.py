"""The README's two commands of the service: a starter zoo is served, and another process asks it by URL."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.docs.test_snippets import ROOT

PORT = "8765"


def commands() -> list[list[str]]:
    """The words of the lines of the block that begins with `snt-zoo serve`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(snt-zoo serve.*?)```", text, re.DOTALL)
    return [shlex.split(line, comments=True) for line in block.splitlines()]


def test_a_starter_zoo_is_served_and_asked_from_another_process(tmp_path: Path) -> None:
    (serve, ask) = commands()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    samples = np.load(ROOT / "tests" / "samples" / "textile_sim.npz")
    for i, label in enumerate(samples["train_labels"].flat):
        folder = tmp_path / "photos" / str(samples["class_names"][label])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(samples["train_images"][i]).save(folder / f"{i}.png")
    (asked,) = (word for word in ask if word.startswith("http"))
    assert asked.endswith(f":{PORT}")
    environment = {
        **os.environ,
        "SNT_ZOO_HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }

    def begin(words: list[str], **given: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "snt_zoo", *(word.replace(PORT, port) for word in words[1:])]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **given)  # type: ignore[call-overload,no-any-return]

    service = begin([*serve, "--port", PORT], stderr=subprocess.PIPE)
    try:
        assert any(f"http://127.0.0.1:{port}" in line for line in service.stderr or ())
        there = begin([*ask, "--json"], stdout=subprocess.PIPE).communicate(timeout=300)[0]
    finally:
        service.send_signal(signal.SIGTERM)
        service.communicate(timeout=60)
    matches = json.loads(there)["matches"]
    assert len(matches) == 5 and matches[0]["class_matches"]
