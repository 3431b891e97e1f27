"""Where a run computes, and in which precision."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from snt_zoo.errors import DeviceError


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """`auto` is the GPU where there is one (CUDA, then Apple's MPS), else the CPU.

    Raises:
        DeviceError: a device that is not on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(
            f"cannot use the device {str(name)!r} ({reason}); use --device cpu or auto"
        ) from error
    return device


def mixed_precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 autocast on a CUDA GPU that has it; elsewhere nothing.

    On the CPU bfloat16 was slower than float32 (10.2 s against 6.0 s a step of the DARTS supernet).
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return contextlib.nullcontext()
