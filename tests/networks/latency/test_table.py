"""A table of latencies: what it predicts, how it is kept, and when it is stale."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snt_zoo.errors import LatencyTableError
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.latency import table as module
from snt_zoo.networks.latency.measuring import Clock
from snt_zoo.networks.latency.table import (
    LatencyTable,
    Row,
    fitted,
    home_table,
    key_of,
    random_genotypes,
    this_machine,
)
from snt_zoo.networks.supernet import NetworkConfig
from tests.conftest import TINY
from tests.networks.latency.making import made_up


@pytest.mark.parametrize("name", ["nas_bench_201", "darts", "mobile"])
def test_a_prediction_is_the_sum_over_operations(name: str) -> None:
    config = TINY[name]
    table, space = made_up(config), config.build_space()
    row = table.rows[key_of(config)]
    for genotype in random_genotypes(space, 5):
        choice = space.pruned(space.choice(genotype))
        total = row.fixed + sum(
            row.choices[k][e][op] for k, path in choice.items() for e, op in enumerate(path)
        )
        assert table.predict(config, genotype) == pytest.approx(total / 1e9)
    other = replace(config, input_size=32)
    with pytest.raises(LatencyTableError, match="at 32 pixels"):
        table.predict(other, genotype)
    assert key_of(config) == key_of(replace(config, num_classes=3))


def test_random_genotypes_differ() -> None:
    space = TINY["mobile"].build_space()
    found = random_genotypes(space, 6)
    assert len({repr(space.choice(one)) for one in found}) == 6
    assert found == random_genotypes(space, 6)


def test_it_is_kept_as_it_is(tmp_path: Path) -> None:
    table = made_up(TINY["darts"])
    path = tmp_path / "there" / "table.json"
    table.write(path)
    assert LatencyTable.read(path) == table
    for content in ("{}", "no", json.dumps({"format": module.FORMAT, "rows": 3})):
        path.write_text(content)
        with pytest.raises(LatencyTableError, match="bench --table"):
            LatencyTable.read(path)
    with pytest.raises(LatencyTableError, match="no table"):
        LatencyTable.read(tmp_path / "none.json")


def test_that_of_another_machine_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty, path = home_table(tmp_path)
    assert not empty.rows
    made_up(TINY["darts"]).write(path)
    assert home_table(tmp_path)[0].rows
    assert not home_table(tmp_path, threads=2)[0].rows
    monkeypatch.setattr(module, "this_machine", lambda: {"processor": "another"})
    assert not home_table(tmp_path)[0].rows
    path.write_text("no")
    assert not home_table(tmp_path)[0].rows


def test_only_what_is_missing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def row(config: NetworkConfig, clock: Clock) -> Row:
        asked.append(key_of(config))
        return Row(1, {}, 0.0)

    monkeypatch.setattr(module, "_row", row)
    configs = [TINY["darts"], TINY["mobile"], TINY["darts"]]
    once = LatencyTable(this_machine(), 1).measured(configs)
    assert asked == [key_of(TINY["darts"]), key_of(TINY["mobile"])]
    assert once.measured(configs) is once
    with pytest.raises(LatencyTableError, match="another machine"):
        replace(once, machine={}).measured([TINY["nas_bench_201"]])


def test_operations_are_scaled_to_whole_networks() -> None:
    generator = np.random.default_rng(0)
    sums = generator.uniform(0, 1e-4, (40, 4))
    scales = np.array([1.2, 0.9, 1.1, 1.0])
    fixed, found = fitted(sums, 5e-5 + sums @ scales)
    assert fixed == pytest.approx(5e-5, rel=0.1)
    assert np.allclose(found, scales, atol=0.05)
    # One of which no network has anything stays with the others.
    sums[:, 2] = 0
    assert fitted(sums, 5e-5 + sums @ scales)[1][2] == pytest.approx(1.0, abs=0.15)
    assert fitted(np.zeros((3, 2)), np.ones(3))[0] == pytest.approx(1)


def test_a_measured_row_predicts_what_it_was_fitted_to() -> None:
    pytest.importorskip("onnxruntime")
    config = TINY["nas_bench_201"]
    table = LatencyTable(this_machine(), 1).measured([config], clock=Clock(1, seconds=0.02))
    row = table.rows[key_of(config)]
    assert row.fixed > 0
    assert row.error < 0.5
    assert all(number >= 0 for rows in row.choices.values() for each in rows for number in each)
    assert Limits(max_latency=1.0, table=table).bound(config) is not None
