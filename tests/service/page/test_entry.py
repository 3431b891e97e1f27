"""The page of a supernet: alphas as they are, sources with classes, versions, lineage, commands that run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from snt_zoo.errors import NotInRegistryError
from snt_zoo.networks.genotype import Edge
from snt_zoo.registry import Registry
from snt_zoo.service.page.classes import ClassNames
from snt_zoo.service.page.entry import cells_of, commands_of, settings_of, show
from tests.conftest import TINY, MakeSupernet
from tests.registry.making import damage, execute, generalist, make_bundle


@pytest.mark.parametrize("name", ["nas_bench_201", "darts", "mobile"])
def test_an_edge_is_as_thick_as_the_share_of_what_it_keeps(name: str, make_supernet: MakeSupernet) -> None:
    net = make_supernet(TINY[name])
    cells = cells_of(net)
    genotype = net.genotype()
    shares = {}
    for mixture in cells.mixtures:
        expected = net.probabilities()[mixture.kind].tolist()
        assert [list(row) for _, row, _ in mixture.rows] == expected
        kept = [
            Edge(*map(int, edge.split("→")), mixture.operations[column])
            for edge, _, column in mixture.rows
            if column is not None
        ]
        assert sorted(kept) == sorted(genotype.cells[mixture.kind])
        shares |= {
            (mixture.kind, edge): row[column] for edge, row, column in mixture.rows if column is not None
        }
    edges = [edge for cell in genotype.cells.values() for edge in cell if edge.operation != "none"]
    told = re.findall(r"to node \d+: (\d+) % of its mixture", cells.picture)
    assert len(told) == len(edges)
    widths = [
        float(width)
        for width in re.findall(
            r'class="line" stroke="#\w+" stroke-width="([\d.]+)" d="M\S+ \S+', cells.picture
        )
    ]
    assert widths == sorted(widths, key=lambda width: width) or len(set(widths)) > 1
    assert "style" not in re.sub(r"aria-label=\"[^\"]*\"", "", cells.picture)  # the page allows none


def test_it_says_all_that_is_known(registry: Registry, shapes: str) -> None:
    entry = show(registry, ClassNames(), shapes)
    assert entry.record.id == shapes
    assert entry.config is not None
    assert entry.cells is not None
    (origin,) = entry.origins
    assert origin.sample == ("class 0", "class 1", "class 2")
    assert origin.hidden == 0
    assert settings_of(entry.config)["lr"] == "0.1"


def test_a_generalist_has_the_classes_of_each_source(registry: Registry, tmp_path: Path) -> None:
    id = registry.add(generalist(tmp_path / "general", name="general")).id
    origins = show(registry, ClassNames(), id).origins
    assert [(each.data.name, len(each.sample), each.accuracy) for each in origins] == [
        ("d0", 3, 0.4),
        ("d1", 4, 0.4),
    ]


def test_versions_come_newest_first_and_lineage_is_told(registry: Registry, tmp_path: Path) -> None:
    first = registry.add(make_bundle(tmp_path / "one", seed=5, name="net")).id
    second = registry.add(make_bundle(tmp_path / "two", seed=6, name="net")).id
    third = registry.add(make_bundle(tmp_path / "three", seed=7, name="net")).id
    for day, id in ((1, second), (2, first), (3, third)):
        execute(registry, f"UPDATE bundles SET added_at = '2026-11-0{day}T00:00:00+00:00' WHERE id = '{id}'")
    assert [record.id for record in show(registry, ClassNames(), first).versions] == [third, second]
    lineage = show(registry, ClassNames(), first).lineage
    assert (lineage.ancestors, lineage.children) == ((), ())


def test_a_damaged_bundle_is_shown_by_its_row(registry: Registry, shapes: str) -> None:
    damage(registry.show(shapes).path / "config.json")
    entry = show(registry, ClassNames(), shapes)
    assert entry.config is None
    assert entry.cells is None
    assert entry.record.id == shapes


def test_none_that_fits_is_an_error(registry: Registry) -> None:
    with pytest.raises(NotInRegistryError):
        show(registry, ClassNames(), "nothing")


def test_the_commands_are_those_of_the_command_line() -> None:
    from snt_zoo.cli.main import main

    for _, text in (*commands_of("net-1"), *commands_of("net-1", "http://zoo:8765")):
        words = [word for word in shlex.split(text) if word not in ("--zoo", "http://zoo:8765")]
        assert words[0] == "snt-zoo"
        assert words[1] in main.list_commands(None)  # type: ignore[arg-type]
