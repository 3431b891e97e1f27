"""Where a run computes, and in which precision."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import Any

import torch

from snt_zoo.errors import DeviceError, first_line
from snt_zoo.networks.distributed import Team


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """`auto` is the GPU where there is one (CUDA, then Apple's MPS), else the CPU.

    Of several processes each takes the GPU of its number on its machine, for `auto` and for `cuda`.

    Raises:
        DeviceError: a device that is not on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return _own_gpu()
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device == torch.device("cuda"):
            device = _own_gpu()
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise DeviceError(
            f"cannot use the device {str(name)!r} ({first_line(error)}); use --device cpu or auto"
        ) from error
    return device


def mixed_precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 autocast on a CUDA GPU that has it; elsewhere nothing.

    On the CPU bfloat16 was slower than float32 (10.2 s against 6.0 s a step of the DARTS supernet).
    """
    if device.type == "cuda" and _has_bfloat16():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return contextlib.nullcontext()


@functools.cache
def quick_dtype(device: torch.device) -> torch.dtype:
    """The type in which a frozen network is quick: bfloat16 on a processor that multiplies it, else float32.

    EfficientNet-Lite0 at 224 pixels takes 5 ms an image by it and 12 ms in float32 (two cores with AVX-512
    BF16). Training gains by it only where the kernels run: gradients of depthwise convolutions are slow in
    the library.
    """
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # PyTorch has no public name for it
    return torch.bfloat16 if device.type == "cpu" and known is not None and known() else torch.float32


@functools.cache
def _has_bfloat16() -> bool:
    return bool(torch.cuda.is_bf16_supported())


def _own_gpu() -> torch.device:
    if Team.current().size == 1:
        return torch.device("cuda")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
