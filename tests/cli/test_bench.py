"""`snt-zoo bench`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click
import pytest

from snt_zoo.cli.parameters import latency
from snt_zoo.networks.latency.measuring import Clock
from snt_zoo.networks.latency.table import LatencyTable
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


def test_a_tiny_table_is_measured_and_obeyed(
    photos: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From measuring operations to a network within a limit of time, in milliseconds for each."""
    from snt_zoo.networks.latency import table as module
    from snt_zoo.workflows import latency as workflow

    monkeypatch.setattr(module, "Clock", functools.partial(Clock, seconds=0.001))
    monkeypatch.setattr(module, "WHOLE", 4)
    monkeypatch.setattr(
        workflow, "_configs", lambda zoo: [zoo.registry.list()[0].config.network.to_network()]
    )
    file = tmp_path / "table.json"
    found = answer("bench", "--table", "--home", home, "--out", file)
    assert [row["network"].split()[0] for row in found["rows"]] == ["nas_bench_201"]
    assert 0 <= found["rows"][0]["error"] < 0.5
    (row,) = LatencyTable.read(file).rows.values()
    assert row.fixed > 0 and max(max(map(max, rows)) for rows in row.choices.values()) > 0
    most = row.fixed + sum(sorted(max(each) for each in row.choices["cell"])[:4])  # in nanoseconds
    limits = ("--max-latency", f"{most / 1000:.3f}us", "--latency-table", file)
    common = ("--epochs", 1, "--home", home, *limits)
    run = answer("finetune", photos, "--from", "tiny", "--no-floor", "--out", tmp_path / "model", *common)
    assert 0 < run["search"]["constraints"]["latency"] <= most / 1e9
    tiny = ("--set", "channels=2", "--set", "cells_per_stage=1")
    made = answer("pretrain", photos, *tiny, "--out", tmp_path / "net", *common)
    assert 0 < made["search"]["constraints"]["latency"] <= most / 1e9
    sizes = answer(
        "finetune", photos, "--from", "tiny", "--no-floor", "--pareto", "--out", tmp_path / "sizes", *common
    )
    assert all(0 < each["latency"] <= most / 1e9 for each in sizes["pareto"]["networks"])
