"""Each bad bundle is refused with its own clear error, and the registry stays as it was."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from snt_zoo.encoders.embedding import MOMENTS, DatasetEncoder
from snt_zoo.errors import (
    BundleError,
    ConfigError,
    ForbiddenFileError,
    IntegrityError,
    MissingFileError,
    NonFiniteError,
    TensorError,
)
from snt_zoo.registry import Registry, read_bundle
from tests.registry.making import edit_config, edit_header, edit_tensors, remanifest, snapshot

MODEL, DATASET = "model.safetensors", "dataset.safetensors"
_executed: list[str] = []


def detonate(word: str) -> None:
    _executed.append(word)


class Payload:
    """Runs `detonate` when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return detonate, ("boom",)


_opened: list[str] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        _opened.append(os.fspath(arguments[0]))


sys.addaudithook(_listen)


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
REFUSED = {
    # The six of the acceptance.
    "flipped byte in the model": Case(flip(MODEL), IntegrityError, (MODEL, "sha256", AGAIN)),
    "flipped byte in the config": Case(flip("config.json", 9), IntegrityError, ("config.json", AGAIN)),
    "flipped byte in the sketches": Case(flip(DATASET), IntegrityError, (DATASET, AGAIN)),
    "flipped byte in the card": Case(flip("README.md"), IntegrityError, ("README.md", AGAIN)),
    "flipped byte in a header": Case(flip(MODEL, 20), IntegrityError, (MODEL, AGAIN)),
    "flipped byte in the manifest": Case(
        set_manifest(lambda m: m["files"][MODEL].update(sha256="0" * 64)),
        IntegrityError,
        (MODEL, "sha256", AGAIN),
    ),
    "missing model": Case(without(MODEL), MissingFileError, (MODEL, AGAIN)),
    "missing manifest": Case(without("manifest.json"), MissingFileError, ("manifest.json", AGAIN)),
    "missing card": Case(without("README.md"), MissingFileError, ("README.md", AGAIN)),
    "extra pickle": Case(with_pickle, ForbiddenFileError, ("'pytorch_model.bin'", "remove it")),
    "wrong shape": Case(
        set_tensor("head.weight", lambda t: t[:2].clone()),
        TensorError,
        (MODEL, "head.weight", "float32 [3, 8]", "is float32 [2, 8]"),
    ),
    "NaN weights": Case(
        set_tensor("head.weight", fill(float("nan"))), NonFiniteError, (MODEL, "head.weight")
    ),
    "unknown field": Case(
        set_field("trust_remote_code", value=True),
        ConfigError,
        ("config.json", "trust_remote_code", "remove it"),
    ),
    # Files.
    "pickle as model": Case(with_pickle_as_model, TensorError, (MODEL, "header")),
    "script": Case(with_file("modeling.py"), ForbiddenFileError, ("'modeling.py'",)),
    "hidden file": Case(with_file(".env"), ForbiddenFileError, ("'.env'",)),
    "name with control characters": Case(with_file("\x1b[2J.json"), ForbiddenFileError, (r"\x1b[2J",)),
    "name in capitals": Case(with_file("CONFIG.JSON"), ForbiddenFileError, ("'CONFIG.JSON'",)),
    "subfolder": Case(with_folder, ForbiddenFileError, ("'code'",)),
    "link": Case(as_link, ForbiddenFileError, (MODEL, "regular file")),
    "folder as card": Case(as_folder, ForbiddenFileError, ("README.md", "regular file")),
    "pipe as config": Case(as_pipe, ForbiddenFileError, ("config.json", "regular file")),
    "cut off model": Case(lambda f: os.truncate(f / MODEL, 1000), IntegrityError, (MODEL, "1,000", AGAIN)),
    # The manifest.
    "manifest with a path out": Case(
        set_manifest(lambda m: m["files"].update({"../../x": m["files"]["README.md"]})),
        ConfigError,
        ("manifest.json", "../../x"),
    ),
    "manifest with an absolute path": Case(
        set_manifest(lambda m: m["files"].update({"/etc/passwd": m["files"].pop("README.md")})),
        ConfigError,
        ("manifest.json", "/etc/passwd"),
    ),
    "manifest with a backslash": Case(
        set_manifest(lambda m: m["files"].update({"..\\x": m["files"]["README.md"]})),
        ConfigError,
        ("manifest.json",),
    ),
    "manifest with a NUL": Case(
        set_manifest(lambda m: m["files"].update({"config.json\0": m["files"]["README.md"]})),
        ConfigError,
        ("manifest.json",),
    ),
    "manifest without a file": Case(
        set_manifest(lambda m: m["files"].pop(MODEL)), ConfigError, ("manifest.json", MODEL)
    ),
    "manifest with a bad hash": Case(
        set_manifest(lambda m: m["files"][MODEL].update(sha256="x")), ConfigError, ("manifest.json", "sha256")
    ),
    "manifest that is too long": Case(
        with_file("manifest.json", b" " * 10_001), IntegrityError, ("manifest.json",)
    ),
    "manifest with a surprise": Case(
        set_manifest(lambda m: m.update(run="sh")), ConfigError, ("manifest.json", "run")
    ),
    # The config.
    "config of a newer format": Case(set_field("format_version", value=2), ConfigError, ("upgrade snt-zoo",)),
    "config with a duplicate key": Case(
        set_config_text('"dtype"', '"params": 1, "params": 2, "dtype"'),
        ConfigError,
        ("config.json", "'params'", "twice"),
    ),
    "config with NaN": Case(set_config_text("0.75", "NaN"), ConfigError, ("config.json", "NaN")),
    "config with infinity": Case(set_config_text("0.75", "1e999"), ConfigError, ("config.json", "1e999")),
    "config with a wrong type": Case(
        set_field("network", "num_classes", value="3"), ConfigError, ("network.num_classes", "'3'")
    ),
    "config for a million channels": Case(
        set_field("network", "hyperparameters", "channels", value=10**6), ConfigError, ("network", "channels")
    ),
    "config that lies about parameters": Case(set_field("params", value=5), ConfigError, ("params", "got 5")),
    "config that lies about MACs": Case(set_field("macs", value=5), ConfigError, ("macs", "got 5")),
    "config that lies about the genotype": Case(
        set_field("genotype", "cells", "cell", 0, 2, value="nor_conv_7x7"), ConfigError, ("genotype",)
    ),
    "config of another backbone": Case(
        set_field("backbone", value="other"), ConfigError, (DATASET, "backbone", "other")
    ),
    "config in Latin-1": Case(
        lambda f: ((f / "config.json").write_bytes(b'{"a": "\xe9"}'), remanifest(f)),
        ConfigError,
        ("config.json",),
    ),
    "config nested deeply": Case(
        lambda f: ((f / "config.json").write_text("[" * 200_000), remanifest(f)),
        ConfigError,
        ("config.json", "nested"),
    ),
    "config that is a list": Case(
        lambda f: ((f / "config.json").write_text("[]"), remanifest(f)),
        ConfigError,
        ("config.json", "object"),
    ),
    # The tensors.
    "infinite weights": Case(
        set_tensor("head.bias", fill(float("-inf"))), NonFiniteError, (MODEL, "head.bias")
    ),
    "NaN alphas": Case(set_tensor("alphas.cell", fill(float("nan"))), NonFiniteError, (MODEL, "alphas.cell")),
    "wrong type": Case(
        set_tensor("head.bias", lambda t: t.half()), TensorError, ("head.bias", "float32", "float16")
    ),
    "type that is not allowed": Case(
        set_tensor("head.bias", lambda t: t.double()), TensorError, ("head.bias", "F64")
    ),
    "missing tensor": Case(
        lambda f: edit_tensors(f, MODEL, lambda t: t.pop("head.bias")),
        TensorError,
        ("head.bias", "is absent"),
    ),
    "renamed tensor": Case(rename_tensor, TensorError, ("head.bias", "head.weird", "must be absent")),
    "no tensor": Case(lambda f: edit_tensors(f, MODEL, dict.clear), TensorError, (MODEL, "more")),
    # The sketches.
    "sketch with NaN": Case(
        lambda f: edit_tensors(f, DATASET, lambda t: t["0.means"].view(-1)[:1].fill_(float("nan"))),
        TensorError,
        (DATASET, "sketch 0", "means"),
    ),
    "sketch without means": Case(
        lambda f: edit_tensors(f, DATASET, lambda t: t.pop("0.means")), TensorError, (DATASET, "sketch 0")
    ),
    "sketch with single numbers": Case(
        lambda f: edit_tensors(f, DATASET, lambda t: t.update({"0.samples": torch.tensor(1.0)})),
        TensorError,
        (DATASET, "sketch 0"),
    ),
    "tensor of no sketch": Case(
        lambda f: edit_tensors(f, DATASET, lambda t: t.update({"00.means": t["0.means"].clone()})),
        TensorError,
        (DATASET, "00.means"),
    ),
    "sketch of another name": Case(
        set_metadata(lambda m: m.update({"sketch.01": m["sketch.0"]})), TensorError, (DATASET, "metadata")
    ),
    "sketch with duplicate keys": Case(
        set_metadata(lambda m: m.update({"sketch.0": m["sketch.0"].replace("{", '{"name": "x", ')})),
        ConfigError,
        (DATASET, "sketch 0", "twice"),
    ),
    "sketch with a control character": Case(
        set_metadata(lambda m: m.update({"sketch.0": m["sketch.0"].replace("class 0", "\\u001b[2J")})),
        ConfigError,
        (DATASET, "sketch 0", "control character"),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_and_the_registry_stays(what: str, good: Path, registry: Registry) -> None:
    case = REFUSED[what]
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


def test_the_unspoilt_bundle_is_accepted(good: Path, registry: Registry) -> None:
    record = registry.add(good)
    assert len(registry.list()) == 3
    assert registry.get(record.id).id == record.id == read_bundle(good).id
    remanifest(good)  # other JSON, other digest, and still a good bundle
    assert read_bundle(good).id != record.id


def test_the_canary_works() -> None:
    pickle.loads(pickle.dumps(Payload()))
    assert _executed.pop() == "boom"


def test_what_is_forbidden_is_not_opened(good: Path, registry: Registry) -> None:
    with_pickle(good)
    as_link(good)
    _opened.clear()
    with pytest.raises(ForbiddenFileError):
        registry.add(good)
    assert any(str(registry.home) in path for path in _opened)  # the ear hears
    assert not [path for path in _opened if path.endswith((".bin", "elsewhere", MODEL))]


def test_a_link_that_comes_between_is_not_followed(
    good: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder was looked at, and then a file is exchanged for a link."""
    from snt_zoo.registry.store import store

    before = snapshot(registry)
    check = store.check_folder

    def check_and_exchange(folder: Path) -> None:
        check(folder)
        as_link(folder)

    monkeypatch.setattr(store, "check_folder", check_and_exchange)
    with pytest.raises(ForbiddenFileError, match=MODEL):
        registry.add(good)
    assert snapshot(registry) == before


def test_no_folder_at_all(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "file").write_text("x")
    for name in ("nothing", "file"):
        with pytest.raises(MissingFileError, match="expected a folder"):
            registry.add(tmp_path / name)


def test_a_failing_encoder_changes_nothing(good: Path, registry: Registry) -> None:
    before = snapshot(registry)

    def broken(sketch: object) -> torch.Tensor:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        Registry.open(registry.home, encoder=replace(MOMENTS, embed=broken)).add(good)
    for vector in (torch.zeros(64), torch.full((64,), float("nan")), torch.ones(2, 32)):
        with pytest.raises(Exception, match="must be a finite vector other than zero"):
            Registry.open(registry.home, encoder=DatasetEncoder("x", lambda _, v=vector: v)).add(good)
    assert snapshot(registry) == before
