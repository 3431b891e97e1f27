"""Does a query know where nothing is close? `python -m benchmarks.closeness --data DIR --folds FOLDS`

Every dataset in DIR is asked about, with the supernets of its relatives left out (see `zoo.folds`): the
distance of the nearest supernet, what new heads of the nearest come to, what a linear probe does, and what
the query says (`close`).
Where `benchmarks.transfer` has runs of a minute for a dataset, it is set beside what those handed back.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.document import RESULTS, document, write
from benchmarks.json_lines import read_rows
from benchmarks.leave_out import excluded, open_zoo
from snt_zoo.data import open_dataset
from snt_zoo.zoo import Zoo
from zoo.sources import read_sources


def ask(zoo: Zoo, path: Path, returned: Sequence[str]) -> dict[str, Any]:
    """One row.

    Args:
        zoo: that is asked.
        path: of the dataset.
        returned: what `--from auto` handed back for it, a word for each run.
    """
    found = zoo.query(open_dataset(path), exclude=excluded(zoo, path.stem))
    assert found.probe is not None
    return {
        "dataset": path.stem,
        "domain": read_sources()[path.stem].domain,
        "nearest": found[0].id,
        "distance": round(found[0].distance, 4),
        "heads": [match.head_accuracy for match in found if match.head_accuracy is not None],
        "probe": found.probe.val_accuracy,
        "close": found.close,
        "returned": list(returned),
        "seconds": {name: round(value, 3) for name, value in found.seconds.items()},
    }


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How often something is close, whether the distance tells it, and what runs of a minute came to."""
    close = [row["distance"] for row in rows if row["close"]]
    far = [row["distance"] for row in rows if not row["close"]]
    pairs = [(near, other) for near in close for other in far]
    by_domain: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        by_domain[row["domain"]].append(row["close"])
    handed_back: dict[str, dict[str, list[str]]] = defaultdict(
        lambda: {"probe": [], "ensemble": [], "network": []}
    )
    for row in rows:
        if row["returned"]:
            mostly = Counter(row["returned"]).most_common(1)[0][0]
            said = "close" if row["close"] else "not close"
            handed_back[said][mostly if mostly in ("probe", "ensemble") else "network"].append(row["dataset"])
    return {
        "datasets": len(rows),
        "close": len(close),
        # That of one that is close and one that is not the first has the smaller distance.
        "auc_of_distance": round(sum((a < b) + 0.5 * (a == b) for a, b in pairs) / max(len(pairs), 1), 3),
        "close_by_domain": {name: f"{sum(said)} of {len(said)}" for name, said in sorted(by_domain.items())},
        "handed_back": handed_back,
    }


def main() -> None:
    """Ask about every dataset in a folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.closeness", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of npz files")
    parser.add_argument("--folds", type=Path, required=True, help="folder of the folds' generalists")
    parser.add_argument("--out", type=Path, default=RESULTS / "closeness.json")
    arguments = parser.parse_args()
    known = read_sources()
    paths = [path for path in sorted(arguments.data.glob("*.npz")) if path.stem in known]
    if not paths:
        parser.error(
            f"{arguments.data} has no npz file of a dataset in zoo/sources.json: name the collection's folder"
        )
    torch.set_num_threads(1)
    returned: dict[str, list[str]] = defaultdict(list)
    for row in read_rows(RESULTS / "transfer.jsonl"):
        if row["part"] == "main" and row["arm"] == "auto":
            returned[row["target"]].append(row["returned"])
    rows = []
    with tempfile.TemporaryDirectory() as home:
        try:
            zoo = open_zoo(Path(home), arguments.folds)
        except FileNotFoundError as error:
            parser.error(str(error))
        for path in paths:
            rows.append(ask(zoo, path, returned[path.stem]))
            print(rows[-1], file=sys.stderr, flush=True)
    made = document("python -m benchmarks.closeness --data DIR --folds FOLDS", rows, summarise(rows))
    write(arguments.out, made)
    print(json.dumps(made["summary"], ensure_ascii=False))


if __name__ == "__main__":
    main()
