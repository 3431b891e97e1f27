from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.encoders.outcomes import PROBE, read_outcomes
from snt_zoo.encoders.views import WHOLE
from snt_zoo.errors import SntZooWarning
from snt_zoo.networks.variants import OWN, SMALL
from snt_zoo.workflows.measure import Plan, measure
from snt_zoo.zoo import Zoo
from tests.conftest import SAMPLES

DATA = str(SAMPLES / "textile_sim.npz")


@pytest.fixture(scope="module")
def ids(zoo: Zoo) -> list[str]:
    return [zoo.show(name).id for name in ("nb201-font-thai", "nb201-textile-sim")]


def test_heads_are_measured_once_and_a_killed_run_loses_one_cell(
    zoo: Zoo, ids: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "outcomes.jsonl"
    plan = Plan([DATA], ids, (OWN, SMALL))
    assert measure(zoo.registry, [plan], out) == 5  # two networks of each, and the probe
    rows = list(read_outcomes(out))
    assert {(row.bundle, row.kind) for row in rows} == {
        (PROBE, OWN),
        *((id, k) for id in ids for k in (OWN, SMALL)),
    }
    for row in rows:
        assert (
            row.val is not None and row.test is not None and 0 <= row.val <= 1 and row.target == "textile_sim"
        )
    whole = [row for row in rows if row.view == WHOLE]
    assert {row.method for row in whole} == {"head", "ridge"}
    # A supernet that was trained on the dataset does better than chance, by either head.
    assert all(
        row.accuracy > row.chance for row in whole if row.name == "nb201-textile-sim" and row.kind == OWN
    )
    assert measure(zoo.registry, [plan], out) == 0
    out.write_bytes(out.read_bytes()[:-20])  # the last cell has lost a row, and that is all
    assert len(list(read_outcomes(out))) == len(rows) - 1


def test_workers_measure_what_one_process_does_and_a_dataset_that_fails_is_left_out(
    zoo: Zoo, ids: list[str], tmp_path: Path
) -> None:
    def measured(path: Path) -> set[tuple[object, ...]]:
        return {(one.cell, one.view, one.method, one.val, one.test) for one in read_outcomes(path)}

    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"no archive")
    alone, together = tmp_path / "alone.jsonl", tmp_path / "together.jsonl"
    told: list[tuple[int, int]] = []
    measure(zoo.registry, [Plan([DATA], ids)], alone)
    plan = Plan([str(broken), DATA, str(SAMPLES / "font_arabic.npz")], ids)
    with pytest.warns(SntZooWarning, match=r"left out .*broken\.npz"):
        assert measure(zoo.registry, [plan], together, workers=2, on_cells=lambda *n: told.append(n)) == 6
    assert measured(alone) < measured(together)
    assert told[-1] == (6, 9)


def test_a_few_datasets_each_are_drawn_and_pairs_can_be_left_out(ids: list[str]) -> None:
    refs = [f"{name}.npz" for name in "abcdefgh"]
    cells = list(Plan(refs, ids, (OWN, SMALL), per_network=3).cells())
    assert len(cells) == 12 and all(cell.few for cell in cells)
    assert list(Plan(refs, ids, (OWN, SMALL), per_network=3).cells()) == cells
    left = list(Plan(refs, ids, skip={("a", ids[0])}).cells())
    assert ("a.npz", "", ids[0], OWN) not in [cell[:4] for cell in left] and len(left) == 8 * 3 - 1


def test_finetunings_are_measured_too(zoo: Zoo, ids: list[str], tmp_path: Path) -> None:
    out = tmp_path / "outcomes.jsonl"
    assert measure(zoo.registry, [Plan([DATA], ids[:1], budget=1.0)], out) == 1
    (row,) = read_outcomes(out)
    assert (row.method, row.budget, row.bundle) == ("finetune", 1.0, ids[0])
    assert row.accuracy == row.test and row.test_images > 0
