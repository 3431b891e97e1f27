"""`snt-zoo bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from snt_zoo.cli.parameters import latency
from tests.networks.latency.making import made_up

from .conftest import answer, invoke, reason

pytest.importorskip("onnxruntime")


def test_bench_measures_a_model(finetuned: tuple[Path, Any], tmp_path: Path) -> None:
    out, _ = finetuned
    found = answer("bench", out, "--threads", 1, "--seconds", 0.02)
    assert {row["engine"] for row in found["measured"]} == {"torch", "onnxruntime"}
    assert "p50 ms" in invoke("bench", out, "--threads", 1, "--seconds", 0.02).stdout
    assert "does not exist" in reason(invoke("bench", tmp_path / "none"), 2)


def test_a_table_is_kept_by_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snt_zoo.networks.latency import table as module

    monkeypatch.setattr(module, "_row", lambda config, clock: made_up(config).rows[module.key_of(config)])
    home = tmp_path / "home"
    found = answer("bench", "--table", "--home", home, "--space", "nas_bench_201")
    assert found["table"] == str(home / "latency" / "threads-1.json")
    assert [row["network"].split()[0] for row in found["rows"]] == ["nas_bench_201"]
    assert "one of both" in reason(invoke("bench"), 2)


def test_a_latency_is_read_with_its_unit() -> None:
    assert [latency(text) for text in ("5ms", "800us", "0.1 s")] == pytest.approx([0.005, 0.0008, 0.1])
    for text in ("5", "ms", "-1ms", "0ms", "5m"):
        with pytest.raises(click.BadParameter, match="5ms"):
            latency(text)
