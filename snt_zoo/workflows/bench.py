"""How long a saved or exported network takes on this machine, and how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from snt_zoo.errors import ExportError
from snt_zoo.networks.evaluate import input_sizes
from snt_zoo.networks.export.deployed import description
from snt_zoo.networks.export.onnx_file import OnnxNetwork, core_to_onnx, joined, resize_to_onnx
from snt_zoo.networks.model_folder import load_model

SECONDS = 3.0
"""Of each measurement by default."""


def bench(
    path: str | Path,
    *,
    threads: int | None = None,
    batch: int = 1,
    side: int | None = None,
    seconds: float = SECONDS,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure a network by PyTorch and by onnxruntime, each in a process of its own.

    Args:
        path: a saved model's folder, or an exported `.onnx`.
        threads: that each may use; all cores by default.
        batch: images at a time.
        side: of the images in pixels, which are squares; by default what the network wants.
        seconds: of each measurement.
        tell: called with what is being measured.

    Returns:
        Plain data: for each engine and part (`whole` begins with the resize, `network` after it) times in
        seconds, images per second, the peak of memory in bytes.

    Raises:
        ModelFolderError: the folder is not a saved model.
        ExportError: onnxruntime lacks, or cannot run the network.
    """
    path, threads = Path(path), threads or os.cpu_count() or 1
    common = {"threads": threads, "batch": batch, "seconds": seconds}
    rows = []
    with tempfile.TemporaryDirectory(prefix="snt-zoo-") as folder:
        tasks, wanted = _tasks(path, Path(folder))
        for task in tasks:
            tell(f"{task['engine']}, {task['part']}")
            found = _in_a_process(task | common | {"side": side or wanted})
            rows.append({"engine": task["engine"], "part": task["part"], **found})
    return {"model": path, "threads": threads, "batch": batch, "side": side or wanted, "measured": rows}


def _tasks(path: Path, folder: Path) -> tuple[list[dict[str, Any]], int]:
    """What is to be measured, and the side of images that the network wants."""
    if path.is_dir():
        loaded = load_model(path)
        sizes = tuple(dict.fromkeys(input_sizes(loaded.model)))
        core = core_to_onnx(loaded.model)
        files = {"whole": joined(resize_to_onnx(sizes), core, description(loaded)), "network": core}
        tasks = [{"engine": "torch", "part": part, "path": str(path)} for part in files]
        for part, made in files.items():
            file = folder / f"{part}.onnx"
            file.write_bytes(made.SerializeToString())
            tasks.append({"engine": "onnxruntime", "part": part, "path": str(file)})
        return tasks, max(sizes)
    network = OnnxNetwork(path)
    try:
        side = max(each["network"]["input_size"] for each in json.loads(network.metadata["networks"]))
    except (KeyError, ValueError) as error:
        raise ExportError(f"{path} was not written by `snt-zoo export`: give such a file") from error
    return [{"engine": "onnxruntime", "part": "whole", "path": str(path)}], side


def _in_a_process(task: dict[str, Any]) -> dict[str, Any]:
    threads = str(task["threads"])
    done = subprocess.run(
        [sys.executable, "-m", "snt_zoo.networks.latency.worker", json.dumps(task)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        raise ExportError(f"{task['engine']} cannot run the network: {last}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def summary(rows: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Rows for people: milliseconds and megabytes."""
    for row in rows:
        times = (f"{1000 * row[name]:.2f}" for name in ("p50", "p90", "p99"))
        memory = row["peak_bytes"]
        yield (
            f"{row['engine']}, {row['part']}",
            *times,
            f"{row['images_per_second']:.0f}",
            "-" if memory is None else f"{memory / 1e6:.0f}",
        )
