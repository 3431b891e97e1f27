"""Checkpoints of a run: one safetensors file, replaced in one step, so that it is old or new, never half.

The new one is written beside the old, forced to the disk and then renamed over it: whenever the process
dies or the power fails, one of the two is there and whole.

Tensors go in as they are; everything else (counters, history, settings) as JSON in the file's metadata,
with a digest of both: a run does not go on from what a disk has spoilt. No pickle: a checkpoint can be opened
without running code.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from snt_zoo.errors import ResumeError, UnwritableError, first_line
from snt_zoo.formats.durable import sync_file, sync_folder

CHECKPOINT = "checkpoint.safetensors"
FORMAT = 4  # has a digest
_DAMAGE = (SafetensorError, LookupError, TypeError, ValueError, AttributeError, RecursionError, OSError)
PARTIAL = f".{CHECKPOINT}.partial"
"""What a process that was killed while it wrote may leave; the next checkpoint replaces it."""


def save_checkpoint(folder: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write `folder/checkpoint.safetensors` atomically.

    Args:
        folder: made if it is not there.
        tensors: state by name.
        meta: JSON-ready data.

    Raises:
        UnwritableError: the disk is full, or may not be written to; the checkpoint before stays.
    """
    partial = folder / PARTIAL
    # Clones: safetensors refuses tensors that share memory, and strided ones.
    plain = {
        name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run = json.dumps(dict(meta))
        # In one entry: safetensors writes several in any order, and equal states shall give equal files.
        whole = {"format": FORMAT, "sha256": _digest(plain, run), "run": run}
        save_file(plain, partial, metadata={"run": json.dumps(whole)})
        sync_file(partial)
        partial.replace(folder / CHECKPOINT)
        sync_folder(folder, files=False)
    except (OSError, SafetensorError) as error:
        _forget(partial)
        why = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        then = "go on with --resume" if (folder / CHECKPOINT).is_file() else "start again"
        raise UnwritableError(
            f"cannot write the checkpoint in {folder} ({why}): make room, then {then}"
        ) from error
    except BaseException:
        _forget(partial)
        raise


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the data of the checkpoint in a folder.

    Raises:
        ResumeError: there is none, or it cannot be read.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise ResumeError(f"nothing to resume in {folder}: it holds no {CHECKPOINT}; leave out --resume")
    try:
        with safe_open(path, framework="pt") as file:
            whole = json.loads(file.metadata()["run"])
            if whole.get("format") != FORMAT:
                raise ResumeError(
                    f"the checkpoint {path} was written by another version of snt-zoo: go on with that one, "
                    "or leave out --resume and choose another --out"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if _digest(tensors, whole["run"]) != whole["sha256"]:
                raise ValueError("its content is not the one that was written")
            return tensors, dict(json.loads(whole["run"]))
    except _DAMAGE as error:
        raise ResumeError(
            f"the checkpoint {path} cannot be read ({first_line(error)}): delete it and start again"
        ) from error


def remove_checkpoint(folder: Path) -> None:
    """The run is over: its checkpoint is no longer needed."""
    for name in (CHECKPOINT, PARTIAL):
        (folder / name).unlink(missing_ok=True)


def _digest(tensors: Mapping[str, Tensor], run: str) -> str:
    """Sha256 of everything that a checkpoint holds, hex."""
    digest = hashlib.sha256(run.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _forget(partial: Path) -> None:
    with contextlib.suppress(OSError):
        partial.unlink(missing_ok=True)


def nest(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put a prefix before every name."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unnest(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those tensors whose names have the prefix, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer as named tensors."""
    return {
        f"{index}.{key}": value
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`, for an optimizer over the same parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:  # in its memory format: mixed ones make the optimizer slow
            value = torch.empty_like(parameter, requires_grad=False).copy_(value)
        state.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
