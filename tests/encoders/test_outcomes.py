from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.limits import files_of_at_most
from snt_zoo.encoders.outcomes import Outcome, append_outcomes, read_outcomes, read_table, write_table

ONE = Outcome(
    target="digits", fingerprint="0123", change="", view="all", classes=10, images=200, chance=0.1,
    name="nb201-x", bundle="nb201-x-01234567", digest="89ab", kind="own", genotype="{}", params=1, macs=2,
    method="head", budget=0.0, seed=0, val_images=60, test_images=20, val=0.5, test=0.9, code_version="0.1",
    date="2026-11-28T12:00:00+00:00",
)  # fmt: skip


def test_what_is_appended_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "outcomes.jsonl"
    assert list(read_outcomes(path)) == []
    second = replace(ONE, view="n5", val=None)
    append_outcomes(path, [ONE])
    append_outcomes(path, [second])
    assert list(read_outcomes(path)) == [ONE, second]


def test_a_line_that_was_cut_off_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    append_outcomes(path, [ONE, ONE])
    path.write_bytes(path.read_bytes()[:-40])
    append_outcomes(path, [ONE])
    assert list(read_outcomes(path)) == [ONE, ONE]


def test_what_does_not_fit_on_the_disk_is_no_success(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    append_outcomes(path, [ONE])
    with files_of_at_most(path.stat().st_size + 10), pytest.raises(OSError):  # ten bytes of it are written
        append_outcomes(path, [ONE])
    append_outcomes(path, [ONE])
    assert list(read_outcomes(path)) == [ONE, ONE]


def test_a_line_of_something_else_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    path.write_text('{"target": "x"}\n[1]\n')
    append_outcomes(path, [ONE])
    assert list(read_outcomes(path)) == [ONE]


def test_the_accuracy_is_over_all_images_that_chose_nothing() -> None:
    assert ONE.accuracy == pytest.approx((0.5 * 60 + 0.9 * 20) / 80)
    assert replace(ONE, val=None).accuracy == 0.9
    assert replace(ONE, val=None, test=None).accuracy is None
    assert replace(ONE, method="finetune", budget=5.0).accuracy == 0.9


def test_a_table_keeps_everything(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    rows = [ONE, replace(ONE, val=None)]
    write_table(tmp_path / "outcomes.parquet", rows)
    assert read_table(tmp_path / "outcomes.parquet") == rows
