"""The main job from nothing: scikit-learn's handwritten digits, which the zoo has not seen.

Query, explain, let the best matches race and finetune the winner, search from scratch for the same time,
compare. Supernets that were trained on digits, alone or among others, are left out, so that the demo shows
transfer from other concepts and not recognition of the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snt_zoo.data import open_dataset
from snt_zoo.registry.retrieval import QueryResult
from snt_zoo.search.adapting.report import report_html
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.run import EpochRecord, OnEpoch
from snt_zoo.workflows.finetune import finetune
from snt_zoo.workflows.query import query
from snt_zoo.workflows.shelves import Shelves

DATASET = "sklearn:digits"
EXCLUDED = ("font_digits", "mnist10k")
"""Sources of the starter zoo that show digits."""


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the demo found.

    Args:
        dataset: what was asked about.
        excluded: sources; supernets that were trained on one of them were left out.
        left_out: their ids.
        matches: the answer of the query.
        transferred: the run from the match that won the race.
        scratch: the run from fresh weights.
        report: the page with both curves.
    """

    dataset: str
    excluded: tuple[str, ...]
    left_out: tuple[str, ...]
    matches: QueryResult
    transferred: FinetuneResult
    scratch: FinetuneResult
    report: Path

    @property
    def scratch_reached_after(self) -> float | None:
        """Seconds after which the transferred run had the scratch run's best validation accuracy."""
        goal = self.scratch.accuracy["val"]
        return next((r.seconds for r in self.transferred.history if r.val_accuracy >= goal), None)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        folder = self.report.parent
        return {
            "dataset": self.dataset,
            "excluded": list(self.excluded),
            "left_out": list(self.left_out),
            "query": self.matches.to_json(),
            "transferred": self.transferred.to_json(out=folder / "transferred"),
            "scratch": self.scratch.to_json(out=folder / "scratch"),
            "scratch_accuracy_reached_after_seconds": self.scratch_reached_after,
            "report": str(self.report),
        }


def run_demo(
    zoo: Shelves,
    *,
    out: str | Path,
    budget: str | float = "60s",
    seed: int = 0,
    device: str = "auto",
    on_stage: Callable[[str], None] | None = None,
    on_matches: Callable[[QueryResult], None] | None = None,
    on_epoch: OnEpoch | None = None,
) -> DemoResult:
    """Run the demo.

    Args:
        zoo: where to look.
        out: folder for the two models (`transferred/`, `scratch/`) and the page with both curves.
        budget: wall clock of each of the two runs.
        seed: of both.
        device: `auto`, `cpu`, `cuda`, ….
        on_stage: called with a line of text as each part begins.
        on_matches: called with the answer of the query.
        on_epoch: called with the record of each epoch of both runs.
    """
    tell = on_stage or (lambda text: None)
    out = Path(out)
    data = open_dataset(DATASET)
    left_out = tuple(r.id for r in zoo.registry.list() if set(EXCLUDED) & set(r.sources))
    tell(f"query: {data.name}, {data.num_classes} classes, {len(data.train)} training images")
    matches = query(zoo, data, exclude=left_out)
    if on_matches is not None:
        on_matches(matches)
    tell(f"race and finetune for {budget}")
    # Two searches are compared; what a probe comes to stands in the query's answer.
    options: dict[str, Any] = {"budget": budget, "seed": seed, "device": device, "floor": False}
    options["on_epoch"] = on_epoch
    transferred = finetune(zoo, "auto", data, exclude=left_out, out=out / "transferred", **options)
    tell(f"search from scratch for {budget}")
    scratch = finetune(zoo, "scratch", data, out=out / "scratch", **options)
    others: dict[str, tuple[EpochRecord, ...]] = {"from scratch": scratch.history}
    report = out / "report.html"
    document = transferred.to_json(out=out / "transferred")
    report.write_text(report_html(document, others=others), encoding="utf-8")
    return DemoResult(data.name, EXCLUDED, left_out, matches, transferred, scratch, report)
