"""With which backbone, at which size, to look at images: `python -m benchmarks.looks --json --data DIR`

A probe is fitted to the features of each look as the product fits it (`snt_zoo.encoders.probe`); validation
chooses its penalty. Then some looks answer together, by the mean of their log-probabilities. One look is
measured with three ways to make an image square: squashed, as the package does, its middle cut out, or padded
with grey. `--collection` adds small images of DIR/collection, at most 600 for training.

DIR holds `photos/NAME/train|val|test/CLASS/` and `collection/NAME.npz`. Milliseconds an image are of features
alone: by the clock, and of processor time of all threads. Other work on the machine makes both longer, so the
summary has those of the quickest set, and means of accuracies. Rows go into a file of JSON lines as they come
and are skipped when they are there.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.document import RESULTS, document, tell, write
from benchmarks.json_lines import read_rows
from benchmarks.looks_seen import CROP, PAD, SQUASH, Looking
from benchmarks.photographs_plan import SETS
from snt_zoo import open_dataset

COMMAND = "python -m benchmarks.looks --json --data DIR --collection"
SIZES = (96, 128, 160, 224, 288)
SINGLE = tuple(f"{name}@{size}" for size in SIZES for name in ("mobilenet_v2", "efficientnet_lite0"))
LITE_288, LITE_224, MOBILE_224 = "efficientnet_lite0@288", "efficientnet_lite0@224", "mobilenet_v2@224"
TOGETHER = (
    (LITE_288, LITE_224),
    (LITE_224, MOBILE_224),
    (LITE_288, MOBILE_224),
    (LITE_288, LITE_224, MOBILE_224),
    SINGLE,
)

SMALL_SETS = (
    "natural8",
    "trashnet",
    "openarena_texture",
    "icon_food",
    "font_khmer",
    "furniture_category",
    "emoji_category",
    "textile_sim",
)
MOBILE_96, LITE_160 = "mobilenet_v2@96", "efficientnet_lite0@160"
SMALL_LOOKS = (
    (MOBILE_96,),
    ("efficientnet_lite0@96",),
    (LITE_160,),
    (LITE_224,),
    (MOBILE_96, LITE_160),
    (LITE_160, LITE_224),
    (MOBILE_96, LITE_160, LITE_224),
)
SMALL_MOST = 600
"""Training images of a set of small ones."""

Row = dict[str, Any]


class Job(NamedTuple):
    """Which row it is.

    Args:
        part: `photos` or `collection`, a folder of DIR.
        set: a folder or file in it.
        looks: names of backbones, with sizes, that answer together.
        square: how images are made square.
    """

    part: str
    set: str
    looks: tuple[str, ...]
    square: str = SQUASH


def plan(sets: Sequence[str], small_sets: Sequence[str]) -> Iterator[Job]:
    """All jobs, set by set; looks at the same pixels stand side by side, those together come last."""
    for name in sets:
        yield from (Job("photos", name, (look,)) for look in SINGLE)
        yield from (Job("photos", name, (LITE_224,), square) for square in (CROP, PAD))
        yield from (Job("photos", name, looks) for looks in TOGETHER)
    for name in small_sets:
        yield from (Job("collection", name, looks) for looks in SMALL_LOOKS)


def run(jobs: Sequence[Job], data: Path, out: Path) -> None:
    """Append the rows that are not there yet."""
    known = {Job(row["part"], row["set"], tuple(row["looks"]), row["square"]) for row in read_rows(out)}
    at: tuple[str, str] | None = None
    for job in jobs:
        if job in known:
            continue
        if at != job[:2]:
            at = job[:2]
            small = job.part == "collection"
            path = data / job.part / (f"{job.set}.npz" if small else job.set)
            looking = Looking(open_dataset(path), most=SMALL_MOST if small else None)
        row = job._asdict() | looking.row(job.looks, job.square)
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
        tell(row)


def named(row: Mapping[str, Any]) -> str:
    """A row's looks, and how images are made square where the package does it otherwise."""
    looks = "all" if tuple(row["looks"]) == SINGLE else " + ".join(row["looks"])
    return looks if row["square"] == SQUASH else f"{looks}, {row['square']}"


def summarise(rows: Sequence[Row]) -> Row:
    """For each part: means over its sets, and what is best on validation set by set."""
    summary: Row = {}
    for part in dict.fromkeys(row["part"] for row in rows):
        groups: dict[str, list[Row]] = {}
        for row in rows:
            if row["part"] == part:
                groups.setdefault(named(row), []).append(row)
        means = {
            name: {
                "sets": len(group),
                **{key: round(statistics.fmean(row[key] for row in group), 4) for key in ("val", "test")},
                **{
                    key: round(min(row[key] for row in group), 1)
                    for key in ("milliseconds", "processor_milliseconds")
                },
                "macs": group[0]["macs"],
            }
            for name, group in groups.items()
        }
        most = max(mean["sets"] for mean in means.values())
        best = max((name for name in means if means[name]["sets"] == most), key=lambda n: means[n]["val"])
        by_set = {row["set"]: {"val": row["val"], "test": row["test"]} for row in groups[best]}
        summary[part] = {"means": means, "best_on_validation": best, "best_by_set": by_set}
    return summary


def main() -> None:
    """Run what is missing, write the document, print its summary."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.looks", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with photos/ and collection/")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--collection", action="store_true", help="look at small images as well")
    parser.add_argument("--rows", type=Path, default=RESULTS / "looks.jsonl")
    parser.add_argument("--out", type=Path, default=RESULTS / "looks.json")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: stdout is JSON anyway")
    arguments = parser.parse_args()
    jobs = list(plan(arguments.sets, SMALL_SETS if arguments.collection else ()))
    missing = [job.set for job in jobs if not list((arguments.data / job.part).glob(f"{job.set}*"))]
    if missing:
        parser.error(f"{arguments.data} has no {', '.join(dict.fromkeys(missing))}: name others with --sets")
    run(jobs, arguments.data, arguments.rows)
    rows = read_rows(arguments.rows)
    made = document(COMMAND, [row | {"looks": named(row)} for row in rows], summarise(rows))
    write(arguments.out, made)
    print(json.dumps(made["summary"], indent=1))


if __name__ == "__main__":
    main()
