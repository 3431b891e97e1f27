"""Measures one network by one engine in a process of its own, and prints JSON.

    python -m snt_zoo.networks.latency.worker '{"engine": "onnxruntime", "path": "model.onnx", …}'

So the peak of memory is that of the engine: PyTorch is not imported to measure onnxruntime.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from snt_zoo.networks.latency.timing import timed


def measured(task: dict[str, Any]) -> dict[str, Any]:
    """Latency and memory of a network.

    Args:
        task: `engine`: `torch`, with `path` a saved model's folder and `part` of `whole` and `network`; or
            `onnxruntime`, with `path` a file. `threads`, `batch`, `side` of the images in pixels, `seconds`.

    Returns:
        What `Timing` has, images per second, and the peak of the process's memory in bytes.
    """
    make = _torch if task["engine"] == "torch" else _onnxruntime
    timing = timed(make(task), seconds=task["seconds"])
    return {
        **timing.to_json(),
        "images_per_second": task["batch"] / timing.p50,
        "peak_bytes": peak_bytes(),
    }


def peak_bytes() -> int | None:
    """Largest resident set of this process so far; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():  # `ru_maxrss` begins at the size of whatever process started this one
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _onnxruntime(task: dict[str, Any]) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = task["threads"]
    session = onnxruntime.InferenceSession(task["path"], options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    feeds = {}
    for each in session.get_inputs():
        whole = each.type == "tensor(uint8)"
        unknown = [task["batch"], task["side"], task["side"], 3] if whole else [task["batch"]]
        unknown += [0] * (len(each.shape) - len(unknown))
        shape = [a if isinstance(a, int) else b for a, b in zip(each.shape, unknown, strict=True)]
        pixels = generator.integers(0, 256, shape)
        feeds[each.name] = pixels.astype(np.uint8 if whole else np.float32)
    return lambda: session.run(None, feeds)


def _torch(task: dict[str, Any]) -> Callable[[], object]:
    import torch

    from snt_zoo.networks.export.deployed import Core, Deployed
    from snt_zoo.networks.model_folder import load_model

    torch.set_num_threads(task["threads"])
    model = load_model(task["path"]).model
    generator = torch.Generator().manual_seed(0)
    batch, side = task["batch"], task["side"]
    module: torch.nn.Module = Deployed(model) if task["part"] == "whole" else Core(model)
    if isinstance(module, Core):
        inputs = [
            torch.randint(0, 256, (batch, 3, size, size), generator=generator).float()
            for size in module.sizes
        ]
    else:
        inputs = [torch.randint(0, 256, (batch, side, side, 3), generator=generator).to(torch.uint8)]
    module.eval()

    def run() -> object:
        with torch.inference_mode():
            return module(*inputs)

    return run


if __name__ == "__main__":
    print(json.dumps(measured(json.loads(sys.argv[1]))))  # noqa: T201  (its answer)
