"""Tables of latencies: which rows a registry needs, where they lie, and bounds by them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from snt_zoo.encoders.backbone import DEFAULT_BACKBONE
from snt_zoo.encoders.looking import LOOKS
from snt_zoo.errors import LatencyTableError, leaving_out
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.latency.table import LatencyTable, home_table, key_of
from snt_zoo.networks.starting import STARTS
from snt_zoo.networks.supernet import NetworkConfig
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.hub.cache import HubCache
from snt_zoo.workflows.shelves import Shelves

STARTER_NETWORK = NetworkConfig("nas_bench_201", {"channels": 16, "stem_stride": 2})
"""The network of the starter zoo and of a search from scratch; measured in docs/decisions.md."""


def measure_table(
    zoo: Shelves,
    *,
    threads: int = 1,
    out: str | Path | None = None,
    spaces: tuple[str, ...] = (),
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[LatencyTable, Path]:
    """Measure what is not in the table of this machine yet, for all that a run may hand back.

    These are networks of the supernets in the registry at their sizes, of a search from scratch, and of the
    backbones that ship.

    Args:
        zoo: with the registry, which keeps the table.
        threads: of a run.
        out: another file for it.
        spaces: only these search spaces; all by default.
        tell: called with each row that is measured.

    Returns:
        The table, and where it lies. It is kept after each row.
    """
    table, path = home_table(zoo.registry.home, threads)
    path = path if out is None else Path(out)
    for config in _configs(zoo):
        if (not spaces or config.space in spaces) and key_of(config) not in table.rows:
            table = table.measured([config], tell=tell)
            table.write(path)
    table.write(path)
    return table, path


def latency_limits(
    zoo: Shelves,
    *,
    max_params: int | None = None,
    max_macs: int | None = None,
    max_latency: float | None = None,
    latency_table: str | Path | None = None,
) -> Limits:
    """Limits, with the table of a file, or of this machine by one thread.

    Raises:
        LatencyTableError: there is none.
    """
    if max_latency is None:
        return Limits(max_params, max_macs)
    table = known_table(zoo, latency_table)
    if latency_table is None and not table.rows:
        raise LatencyTableError(
            "there is no table of this machine's latencies, or it is stale: make one with `snt-zoo bench "
            "--table`, or give another machine's with --latency-table"
        )
    return Limits(max_params, max_macs, max_latency, table)


def known_table(zoo: Shelves, latency_table: str | Path | None = None) -> LatencyTable:
    """The table of a file, or of this machine by one thread, which may be empty."""
    return (
        home_table(zoo.registry.home)[0] if latency_table is None else LatencyTable.read(Path(latency_table))
    )


def known_file(zoo: Shelves) -> Path | None:
    """Where the table of this machine by one thread lies; None without one."""
    table, path = home_table(zoo.registry.home)
    return path if table.rows else None


def too_slow(zoo: Shelves, limits: Limits, where: Filter, hub: HubCache | None = None) -> tuple[str, ...]:
    """Ids of the supernets whose own network takes longer than the limits allow, or is not in the table.

    Args:
        zoo: with the registry.
        limits: with the bound.
        where: only these are looked at.
        hub: what was seen of the Hub, to look at as well.
    """
    if limits.max_latency is None:
        return ()
    only = Limits(None, None, limits.max_latency, limits.table)
    found = []
    for record in zoo.registry.list(where):
        with leaving_out(record.id):
            config = record.config
            network = (config.network.to_network(), config.genotype.to_genotype())
            if not only.allow([network]):
                found.append(record.id)
    seen = [] if hub is None else [one for one in hub.list() if where.fits(one)]
    found += [one.id for one in seen if not only.allow([one.derived()])]
    return tuple(dict.fromkeys(found))


def _configs(zoo: Shelves) -> list[NetworkConfig]:
    from snt_zoo.search.adapting.published import NAME, SIZES  # here, as a query needs no training

    found = [STARTER_NETWORK]
    for record in zoo.registry.list():
        with leaving_out(record.id):
            found.append(record.config.network.to_network())
    looks = [look for each in LOOKS for look in each] + [f"{NAME}@{size}" for size in SIZES]
    for look in (DEFAULT_BACKBONE, *looks):
        name, _, size = look.partition("@")
        start = STARTS[name]
        found.append(NetworkConfig(start.space, start.hyperparameters, 2, int(size or start.input_size)))
    return list({key_of(config): config for config in found}.values())


def to_json(table: LatencyTable, path: Path) -> dict[str, Any]:
    """What `snt-zoo bench --table` answers."""
    return {
        "table": path,
        **table.describe(),
        "rows": [{"network": key, "error": row.error} for key, row in table.rows.items()],
    }
