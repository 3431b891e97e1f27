"""What a pull, a query and a race may take at most: the table of `docs/hub.md` is what the code holds to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from snt_zoo.registry.bundle.folder import FILE_LIMITS, MAX_PARAMS, MAX_SKETCHED_CLASSES, MODEL
from snt_zoo.registry.hub.pull import DEFAULT_MAX_BYTES
from snt_zoo.registry.hub.sync import MAX_SKETCHES_BYTES, WORKERS
from snt_zoo.registry.ranking import CLASSES_AT_ONCE
from snt_zoo.registry.starter import starter_bundles
from snt_zoo.workflows.finetune import RACERS
from tests.registry.making import make_bundle, network, sketch

WEIGHTS = 4 * MAX_PARAMS  # bytes in float32
COPIES = 3.5  # of the weights in float32, while a bundle is read and tried
CLASS = 5_632  # bytes of a sketch's class in memory


def rows() -> dict[str, tuple[str, str]]:
    text = (Path(__file__).parents[2] / "docs" / "hub.md").read_text(encoding="utf-8")
    part = text.split("## What it may take at most")[1].split("\n## ")[0]
    cells = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("| a ")]
    return {row[0].strip(): (row[1], row[2]) for row in cells}


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d[\d.,]*\d|\d", text))


def test_the_table_has_the_numbers_of_the_code() -> None:
    disk, memory = rows()["a pull"]
    assert numbers(disk) == {"3"} and DEFAULT_MAX_BYTES == 10**9  # 3 times 1 GB
    assert f"{COPIES * FILE_LIMITS[MODEL] / 1e9:.1f} GB" in memory and f"{WEIGHTS / 1e9:.1f} GB" in memory
    disk, memory = rows()["a sync"]
    assert f"{MAX_SKETCHES_BYTES // 10**6} MB" in disk and f"{WORKERS} repositories" in memory
    _, memory = rows()["a query"]
    assert CLASSES_AT_ONCE == MAX_SKETCHED_CLASSES and f"{CLASSES_AT_ONCE:,} classes" in memory
    assert f"{(CLASSES_AT_ONCE + MAX_SKETCHED_CLASSES) * CLASS / 1e6:.0f} MB" in memory
    disk, memory = rows()["a race"]
    racing = 2 * RACERS + 1
    assert f"{racing} pulls" in disk and f"{racing} supernets" in memory
    assert f"{2 * racing * WEIGHTS / 1e9:.0f} GB" in memory
    largest = sorted((path / MODEL).stat().st_size for path in starter_bundles())[-racing:]
    assert f"{2 * 2 * sum(largest) / 1e6:.0f} MB" in memory  # stored in float16, in memory in float32


def test_a_class_of_a_sketch_takes_what_is_said() -> None:
    for classes in (90, 1000):  # with covariances of their own, and with a common one
        made = sketch(classes=classes)
        parts = [made.means, made.triangles, made.stored_roots.packed, made.stored_roots.scales]
        taken = sum(part.numel() * part.element_size() for part in parts)
        assert 0.7 * CLASS < taken / classes < 1.05 * CLASS


PROGRAM = """
import resource, sys
from snt_zoo.registry import read_bundle
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
read_bundle(sys.argv[1])
before = peak()
net = read_bundle(sys.argv[2]).supernet
print((peak() - before) / sum(4 * tensor.numel() for tensor in net.state_dict().values()))
"""


def test_a_bundle_that_is_read_takes_what_is_said(tmp_path: Path) -> None:
    small = make_bundle(tmp_path / "small", net=network(channels=4))
    large = make_bundle(tmp_path / "large", net=network(channels=100), dtype="float16")
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(small), str(large)], capture_output=True, text=True, check=True
    )
    assert float(run.stdout) < COPIES
