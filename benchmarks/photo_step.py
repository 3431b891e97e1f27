"""Time of a training step on photographs: `python -m benchmarks.photo_step --json`

EfficientNet-Lite0 with the norms of ImageNet, as `finetune` trains it for photographs. A step is forward and
backward of 32 images; parts of a batch go through the network one after the other, and gradients add up.

- `layers`: PyTorch's layers one by one: what there is without a compiler.
- `kernels`: depthwise convolutions by the compiled kernels, norms as part of the convolutions, in float32.
- `bfloat16`: the same with images in bfloat16, where the processor multiplies it.

The arms take turns within one run; reported are medians of the processor's time for an image, on one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.nn import functional

from benchmarks.document import RESULTS, document, write
from snt_zoo.networks import kernels
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.device import quick_dtype
from snt_zoo.networks.spaces.mobile import normed
from snt_zoo.networks.starting import starting_supernet

BATCH, CLASSES = 32, 10
SIZES = (224, 128)
PARTS = (32, 8, 4)


@contextlib.contextmanager
def _in_float32() -> Iterator[None]:
    with patch.object(normed, "quick_dtype", lambda device: torch.float32):
        yield


ARMS: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "layers": kernels.without,
    "kernels": _in_float32,
    "bfloat16": contextlib.nullcontext,
}


def step(model: DerivedModel, images: torch.Tensor, labels: torch.Tensor, part: int) -> None:
    """The gradients of a batch, in parts."""
    for few, theirs in zip(torch.split(images, part), torch.split(labels, part), strict=True):
        loss = functional.cross_entropy(model(few), theirs)
        torch.autograd.grad(loss, list(model.parameters()))


def main() -> None:
    """Measure every arm, write the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.photo_step", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: stdout is JSON anyway")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    quick = quick_dtype(torch.device("cpu")) == torch.bfloat16
    arms = [arm for arm in ARMS if arm != "bfloat16" or quick]
    generator = torch.Generator().manual_seed(0)
    rows: list[dict[str, Any]] = []
    summary: dict[str, float] = {}
    for size in SIZES:
        model = DerivedModel.inherit(
            starting_supernet("efficientnet_lite0", num_classes=CLASSES, input_size=size)
        ).train()
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.eval()
        images = torch.rand(BATCH, 3, size, size, generator=generator)
        labels = torch.randint(0, CLASSES, (BATCH,), generator=generator)
        times: dict[tuple[str, int], list[float]] = {(arm, part): [] for arm in arms for part in PARTS}
        for turn in range(arguments.rounds + 1):
            for (arm, part), taken in times.items():
                with ARMS[arm]():
                    began = time.process_time()
                    step(model, images, labels, part)
                    if turn:  # the first one warms up
                        taken.append((time.process_time() - began) / BATCH)
        found = {key: 1e3 * statistics.median(taken) for key, taken in times.items()}
        rows += [
            {"size": size, "arm": arm, "images_at_once": part, "milliseconds": round(taken, 1)}
            for (arm, part), taken in found.items()
        ]
        for arm in arms:
            quickest = min(taken for (name, _), taken in found.items() if name == arm)
            summary[f"{arm}, {size} pixels"] = round(found["layers", BATCH] / quickest, 2)
    made = document("python -m benchmarks.photo_step --json", rows, {"times as fast": summary})
    write(RESULTS / "photo_step.json", made)
    print(json.dumps(made["summary"]))


if __name__ == "__main__":
    main()
