"""Tables of latencies that a registry keeps, and what obeys them."""

from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo import Zoo
from snt_zoo.data import ImageDataset
from snt_zoo.errors import InfeasibleError, LatencyTableError, NoMatchError
from snt_zoo.networks.latency import table as module
from snt_zoo.networks.latency.measuring import Clock
from snt_zoo.networks.latency.table import LatencyTable, Row, home_table, key_of
from snt_zoo.networks.supernet import NetworkConfig
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.workflows.latency import STARTER_NETWORK, latency_limits, measure_table, to_json, too_slow
from tests.networks.latency.making import made_up


@pytest.fixture
def own(zoo: Zoo, tmp_path: Path) -> Zoo:
    """The starter zoo, which this test may change."""
    return Zoo.open(tmp_path / "home")


def test_all_that_a_run_may_hand_back_is_measured_once(own: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def row(config: NetworkConfig, clock: Clock) -> Row:
        asked.append(key_of(config))
        return made_up(config).rows[key_of(config)]

    monkeypatch.setattr(module, "_row", row)
    table, path = measure_table(own)
    assert LatencyTable.read(path) == table == home_table(own.registry.home)[0]
    wanted = {key_of(record.config.network.to_network()) for record in own.list()}
    assert {*wanted, key_of(STARTER_NETWORK)} <= set(table.rows)
    assert any("lite=1" in key and "at 288 pixels" in key for key in table.rows)
    assert len(asked) == len(set(asked)) == len(table.rows)
    measure_table(own)
    assert len(asked) == len(table.rows)
    document = to_json(table, path)
    assert len(document["rows"]) == len(asked)
    assert document["threads"] == 1


def test_a_bound_needs_a_table(own: Zoo, tmp_path: Path) -> None:
    assert latency_limits(own, max_macs=5).max_macs == 5
    with pytest.raises(LatencyTableError, match="bench --table"):
        latency_limits(own, max_latency=0.01)
    made_up(STARTER_NETWORK).write(tmp_path / "other.json")
    limits = latency_limits(own, max_latency=0.01, latency_table=tmp_path / "other.json")
    assert limits.table is not None
    assert limits.table.rows


def test_queries_and_searches_obey_it(own: Zoo, few_digits: ImageDataset, tmp_path: Path) -> None:
    table = made_up(STARTER_NETWORK)
    file = tmp_path / "table.json"
    table.write(file)
    fitting = [
        (record.id, table.predict(config.network.to_network(), config.genotype.to_genotype()))
        for record in own.list(space="nas_bench_201")
        for config in [record.config]
        if key_of(config.network.to_network()) in table.rows
    ]
    middle = sorted(seconds for _, seconds in fitting)[len(fitting) // 2]
    limits = latency_limits(own, max_latency=middle, latency_table=file)
    slow = too_slow(own, limits, Filter())
    assert set(slow) == {record.id for record in own.list()} - {i for i, s in fitting if s <= middle}
    found = own.query(few_digits, k=40, max_latency=middle, latency_table=file, probe=False)
    assert {match.id for match in found} == {i for i, s in fitting if s <= middle}
    with pytest.raises(NoMatchError):
        own.query(few_digits, max_latency=1e-6, latency_table=file, probe=False)

    def searched(seconds: float) -> object:
        return own.finetune(
            "scratch",
            few_digits,
            epochs=1,
            floor=False,
            max_latency=seconds,
            latency_table=file,
            device="cpu",
        )

    quick = 1.05 * min(table.predict(STARTER_NETWORK, one) for one in _genotypes())
    result = searched(quick)
    assert table.predict(STARTER_NETWORK, result.genotype) <= quick  # type: ignore[attr-defined]
    assert result.search["constraints"]["max_latency"] == quick  # type: ignore[attr-defined]
    with pytest.raises(InfeasibleError, match="the quickest takes"):
        searched(1e-6)


def _genotypes() -> list[module.Genotype]:
    return module.random_genotypes(STARTER_NETWORK.build_space(), 50)
