"""Ways to spoil a bundle, and how it must be refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from snt_zoo.errors import BundleError
from snt_zoo.registry import Registry
from tests.registry.making import edit_config, edit_header, edit_tensors, remanifest, snapshot

MODEL, DATASET = "model.safetensors", "dataset.safetensors"
_executed: list[str] = []


def detonate(word: str) -> None:
    _executed.append(word)


class Payload:
    """Runs `detonate` when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return detonate, ("boom",)


@dataclass(frozen=True)
class Case:
    """What is done to a good bundle, and how it is refused."""

    spoil: Callable[[Path], object]
    error: type[BundleError]
    names: tuple[str, ...]  # what the message must name: the file or the field, and what to do


def flip(name: str, position: int = -1) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        raw = bytearray((folder / name).read_bytes())
        raw[position] ^= 1
        (folder / name).write_bytes(raw)

    return spoil


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def with_file(name: str, content: bytes = b"x") -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def with_pickle(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload()))


def with_pickle_as_model(folder: Path) -> None:
    (folder / MODEL).write_bytes(pickle.dumps(Payload()))
    remanifest(folder)


def with_folder(folder: Path) -> None:
    (folder / "code").mkdir()


def as_link(folder: Path) -> None:
    shutil.move(folder / MODEL, folder.parent / "elsewhere")
    (folder / MODEL).symlink_to(folder.parent / "elsewhere")


def as_folder(folder: Path) -> None:
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()


def as_pipe(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


def set_field(*path: str | int, value: Any) -> Callable[[Path], None]:
    def edit(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return lambda folder: edit_config(folder, edit)


def set_tensor(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    return lambda folder: edit_tensors(folder, MODEL, lambda t: t.update({name: change(t[name])}))


def fill(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor.view(-1)[0] = value
        return tensor

    return change


def set_manifest(edit: Callable[[Any], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        data = json.loads((folder / "manifest.json").read_text())
        edit(data)
        (folder / "manifest.json").write_text(json.dumps(data))

    return spoil


def set_config_text(old: str, new: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        text = (folder / "config.json").read_text("utf-8")
        assert old in text
        (folder / "config.json").write_text(text.replace(old, new), "utf-8")
        remanifest(folder)

    return spoil


def rename_tensor(folder: Path) -> None:
    edit_tensors(folder, MODEL, lambda t: t.update({"head.weird": t.pop("head.bias")}))


def set_metadata(edit: Callable[[dict[str, str]], object]) -> Callable[[Path], None]:
    def change(header: bytes) -> bytes:
        data = json.loads(header)
        edit(data["__metadata__"])
        return json.dumps(data).encode()

    return lambda folder: edit_header(folder, DATASET, change)


AGAIN = "copy or download"


def check_refused(case: Case, good: Path, registry: Registry) -> None:
    """Refused with its own clear error; the registry stays as it was, and nothing was unpickled."""
    before = snapshot(registry)
    case.spoil(good)
    spoilt = sorted(path.name for path in good.iterdir())
    with pytest.raises(BundleError) as caught:
        registry.add(good)
    assert type(caught.value) is case.error
    message = str(caught.value)
    for name in case.names:
        assert name in message, message
    assert message.isprintable() and len(message) < 600, message
    assert snapshot(registry) == before
    assert snapshot(Registry.open(registry.home)) == before
    assert sorted(path.name for path in good.iterdir()) == spoilt
    assert _executed == []
