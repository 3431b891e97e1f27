"""What runs on this machine came to: each finetuning adds to a file, and predictions learn from it.

The file stays on the machine, in the registry's folder. It holds names of datasets and accuracies, and no
image. With `SNT_ZOO_OUTCOMES=0` nothing is written, and nothing that was written is used.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from snt_zoo.encoders.outcomes import Outcome, append_outcomes, read_outcomes
from snt_zoo.errors import RegistryError, warn
from snt_zoo.registry.catalog.records import Record
from snt_zoo.version import __version__

SWITCH = "SNT_ZOO_OUTCOMES"
FILE = "outcomes.jsonl"


def wanted() -> bool:
    """Whether outcomes are written and used."""
    return os.environ.get(SWITCH, "1") != "0"


def own_outcomes(home: Path) -> Iterator[Outcome]:
    """Those of a registry, oldest first; none where they are switched off."""
    if wanted():
        yield from read_outcomes(home / FILE)


def by_supernet(home: Path) -> Mapping[str, Sequence[Outcome]]:
    """Those of a registry by the first 16 signs of their bundle's digest, oldest first, also where they are
    switched off. The file is read again when it has changed."""
    path = home / FILE
    try:
        status = path.stat()
    except OSError:
        return {}
    return _sorted(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4)
def _sorted(path: Path, stamp: int, size: int) -> Mapping[str, Sequence[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for one in read_outcomes(path):
        found.setdefault(one.digest, []).append(one)
    return found


def check_wanted() -> None:
    """Raise `RegistryError` where outcomes are switched off."""
    if not wanted():
        raise RegistryError(f"outcomes are switched off here ({SWITCH}=0): unset it and start again")


def read_all(home: Path) -> list[dict[str, Any]]:
    """Those of a registry as plain data, also where they are switched off."""
    return [asdict(one) for one in read_outcomes(home / FILE)]


def keep_outcomes(home: Path, outcomes: Sequence[Outcome]) -> None:
    """Append some; a registry that cannot be written to goes without, as a run must not fail for it."""
    if not wanted() or not outcomes:
        return
    try:
        append_outcomes(home / FILE, outcomes)
    except OSError as error:
        warn(f"the outcome of the run was not kept: {error}")


def outcomes_of_run(
    records: Mapping[str, Record],
    expected: Mapping[str, float],
    *,
    target: str,
    sketch: bytes,
    classes: int,
    images: tuple[int, int, int],
    race: Collection[Mapping[str, Any]],
    finished: Mapping[str, Any],
) -> list[Outcome]:
    """The heads of a race, and what the run handed back.

    Args:
        records: of the supernets that took part, by id; others are left out. expected: what was predicted of
        their heads, by id. target: name of the dataset. sketch: of the dataset, as bytes: its digest names
        the dataset. classes: of the dataset. images: of its training, validation and test part. race: a row
        of each candidate with its `id` and `val_accuracy`. finished: `source`, `genotype` (JSON), `params`,
        `macs`, `val`, `test`, `budget` and `seed` of the run.
    """
    common: dict[str, Any] = {
        "target": target,
        "fingerprint": hashlib.sha256(sketch).hexdigest()[:16],
        "change": "",
        "view": "all",
        "classes": classes,
        "images": images[0],
        "chance": 1 / classes,
        "kind": "own",
        "seed": finished["seed"],
        "code_version": __version__,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    head: dict[str, Any] = {
        "method": "head",
        "budget": 0.0,
        "genotype": "",
        "val_images": images[1],
        "test_images": 0,
        "test": None,
    }
    found = []
    for row in race:
        if row["val_accuracy"] is not None and (record := records.get(row["id"])) is not None:
            size: dict[str, Any] = {"params": record.params, "macs": record.macs}
            own = {"val": row["val_accuracy"], "expected": expected.get(record.id)}
            found.append(Outcome(**common, **head, **_named(record), **size, **own))
    if (record := records.get(finished["source"])) is not None:
        asked: dict[str, Any] = {"val_images": images[1], "test_images": images[2]}
        end = {key: finished[key] for key in ("genotype", "params", "macs", "budget", "val", "test")}
        found.append(Outcome(**common, **_named(record), **asked, **end, method="finetune"))
    return found


def _named(record: Record) -> dict[str, Any]:
    return {"name": record.name, "bundle": record.id, "digest": record.digest[:16]}


def forget_outcomes(home: Path) -> int:
    """Delete the file; returns how many outcomes it held."""
    count = sum(1 for _ in read_outcomes(home / FILE))
    with contextlib.suppress(FileNotFoundError):
        (home / FILE).unlink()
    return count
