"""The demo for a few seconds: real digits, the real starter zoo, both runs."""

from __future__ import annotations

import json
from pathlib import Path

import snt_zoo
from snt_zoo import QueryResult, Zoo
from snt_zoo.workflows.demo import run_demo


def test_the_demo_finds_finetunes_and_compares(zoo: Zoo, tmp_path: Path) -> None:
    answers: list[QueryResult] = []
    lines: list[str] = []
    found = run_demo(
        zoo, out=tmp_path / "out", budget="3s", device="cpu", on_stage=lines.append, on_matches=answers.append
    )
    digits = [r.id for r in zoo.list() if any("digit" in s or "mnist" in s for s in r.sources)]
    assert len(digits) > 2 and list(found.left_out) == digits
    assert not set(digits) & {match.id for match in found.matches}
    assert answers == [found.matches] and len(lines) == 3
    raced = {row["id"] for row in found.transferred.race}
    assert found.transferred.source in raced and found.matches[0].id in raced and not set(digits) & raced
    assert found.scratch.source == "scratch"
    # Even in three seconds: the fitted head alone is far over chance, and over the short search.
    assert found.transferred.accuracy["test"] > 0.6
    assert found.transferred.accuracy["val"] > found.scratch.accuracy["val"]
    assert found.scratch_reached_after is not None
    for name, run in (("transferred", found.transferred), ("scratch", found.scratch)):
        loaded = snt_zoo.load_model(tmp_path / "out" / name)
        assert loaded.source == run.source and loaded.class_names == tuple("0123456789")
    page = found.report.read_text(encoding="utf-8")
    assert "from scratch" in page and "<svg" in page
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["transferred"]["accuracy"] == dict(found.transferred.accuracy)
    assert document["transferred"]["out"] == str(tmp_path / "out" / "transferred")
