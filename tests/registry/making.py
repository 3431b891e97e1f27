"""Small bundles, and ways to spoil them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from snt_zoo.encoders.embedding import MOMENTS
from snt_zoo.encoders.sketch import COVARIANCE_DIM, FULL_COVARIANCES, Sketch
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.registry import BundleConfig, Registry, describe, write_bundle
from snt_zoo.registry.bundle.weights import DtypeName

BACKBONE = "tiny/gauss-64"
ENCODER = MOMENTS.id


def network(*, seed: int = 0, classes: int = 3, channels: int = 2, space: str = "nas_bench_201") -> Supernet:
    """A supernet with random weights, in which no tensor is all zeros or ones."""
    hyperparameters = {"channels": channels} | ({"cells": 3} if space == "darts" else {})
    config = NetworkConfig(space=space, hyperparameters=hyperparameters, num_classes=classes, input_size=16)
    generator = torch.Generator().manual_seed(seed)
    net = Supernet.create(config, generator=generator)
    for tensor in net.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        else:
            tensor.fill_(7)
    return net


def sketch(*, seed: int = 0, classes: int = 3, backbone: str = BACKBONE, name: str = "shapes") -> Sketch:
    """A sketch of random features, as a reader of a file sees it."""
    generator = torch.Generator().manual_seed(seed)
    shifts = torch.randint(0, 15, (classes,), generator=generator)
    factors = torch.randn(classes, COVARIANCE_DIM, COVARIANCE_DIM, generator=generator)
    covariances = factors @ factors.mT
    if classes > FULL_COVARIANCES:
        covariances = covariances.diagonal(dim1=1, dim2=2)
    made = Sketch(
        name=name,
        backbone=backbone,
        class_names=tuple(f"class {i}" for i in range(classes)),
        counts=30 + shifts - shifts.roll(1),  # in all 30 for each class, as `source` says
        means=torch.randn(classes, 64, generator=generator),
        covariances=covariances,
        samples=torch.randn(4, 64, generator=generator),
        sample_labels=torch.randint(0, classes, (4,), generator=generator),
    )
    return Sketch.from_tensors(made.to_tensors(), made.to_meta())


def source(name: str = "shapes", **changes: Any) -> dict[str, Any]:
    """The entry of a dataset."""
    return {
        "name": name,
        "source": "sklearn:digits",
        "licence": "CC0-1.0",
        "licence_url": None,
        "classes": 3,
        "train_images": 30 * changes.get("classes", 3),
        "fingerprint": "0123456789abcdef",
        **changes,
    }


_DESCRIBED: dict[str, dict[str, Any]] = {}


def _describe(net: Supernet, dtype: DtypeName) -> dict[str, Any]:
    # Kept, as counting MACs takes longer than everything else in these tests.
    alphas = [alpha.tolist() for alpha in net.alphas.values()]
    key = json.dumps([net.config.to_json(), alphas, dtype])
    if key not in _DESCRIBED:
        _DESCRIBED[key] = describe(net, dtype=dtype)
    return dict(_DESCRIBED[key])


def config_data(net: Supernet, **changes: Any) -> dict[str, Any]:
    """Everything of a `config.json` for a supernet."""
    return {
        **_describe(net, changes.get("dtype") or "float32"),
        "name": "shapes",
        "description": "Circles, squares and stars.",
        "class_names": [f"class {i}" for i in range(net.config.num_classes)],
        "metrics": {"val_accuracy": 0.75, "test_accuracy": None, "seconds_per_image": 0.5},
        "training": {
            "datasets": [source()],
            "epochs": 2,
            "seconds": 1.5,
            "seed": 0,
            "code_version": "0.1.0",
            "torch_version": "2.14.1",
            "date": "2026-11-01T12:00:00Z",
            "recipe": {"lr": 0.1, "batch": 32, "nesterov": True, "schedule": "cosine"},
            "parent": None,
        },
        "licence": "Apache-2.0",
        "tags": ["tiny"],
        "backbone": BACKBONE,
        "encoder": ENCODER,
        **changes,
    }


def make_bundle(
    folder: Path,
    *,
    seed: int = 0,
    sketches: list[Sketch] | None = None,
    net: Supernet | None = None,
    **changes: Any,
) -> Path:
    """Write a good bundle."""
    net = network(seed=seed) if net is None else net
    sketches = sketches or [sketch(seed=seed, classes=net.config.num_classes)]
    data = config_data(net, **changes)
    if "training" not in changes:
        entries = [source(made.name, classes=len(made.class_names)) for made in sketches]
        data["training"] = data["training"] | {"datasets": entries}
    return write_bundle(folder, supernet=net, config=BundleConfig.from_data(data), sketches=sketches)


def remanifest(folder: Path) -> None:
    """Write a manifest that fits the files, so that only the next guard can refuse them."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.name in ("README.md", "config.json", "dataset.safetensors", "model.safetensors"):
            raw = path.read_bytes()
            files[path.name] = {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)}
    (folder / "manifest.json").write_text(json.dumps({"format_version": 1, "files": files}))


def edit_config(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change `config.json`, with a manifest that fits."""
    path = folder / "config.json"
    data = json.loads(path.read_text("utf-8"))
    edit(data)
    path.write_text(json.dumps(data), "utf-8")
    remanifest(folder)


def edit_tensors(folder: Path, name: str, edit: Callable[[dict[str, Tensor]], object]) -> None:
    """Change a safetensors file by means of the library, with a manifest that fits."""
    path = folder / name
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    edit(tensors)
    path.write_bytes(safetensors.torch.save(tensors, metadata))
    remanifest(folder)


def edit_header(folder: Path, name: str, edit: Callable[[bytes], bytes]) -> None:
    """Change the text of a safetensors header and its length, with a manifest that fits."""
    path = folder / name
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = edit(raw[8 : 8 + length])
    path.write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + length :])
    remanifest(folder)


def copy_home(home: Path, target: Path) -> Path:
    """A copy of a registry's home in which files that were one file are one again."""
    made: dict[int, str] = {}

    def copy(source: str, sink: str) -> str:
        inode = Path(source).stat().st_ino
        if inode in made:
            os.link(made[inode], sink)
        else:
            made[inode] = str(shutil.copy2(source, sink))
        return sink

    return Path(shutil.copytree(home, target, copy_function=copy))


def snapshot(registry: Registry) -> dict[str, Any]:
    """All that a registry holds, seen without its code: files, rows, and what a search answers."""
    home = registry.home
    with sqlite3.connect(home / "catalog.sqlite") as connection:
        tables = ("bundles", "vectors", "sources", "tags", "metrics", "files", "aliases", "seeded", "state")
        rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
    connection.close()
    return {
        "files": {
            str(path.relative_to(home)): path.read_bytes()
            for folder in ("bundles", "blobs", "incoming")
            for path in sorted((home / folder).rglob("*"))
            if path.is_file()
        },
        "folders": sorted(path.name for path in (home / "bundles").iterdir()),
        "rows": rows,
        "list": registry.list(),
        "search": registry.search(sketch(seed=99), 99),
    }


def damage(path: Path) -> None:
    """Other bytes in the file itself, so in every link to it."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(raw)


def swap(path: Path) -> None:
    """Other bytes under the file's name alone: its blob stays good."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.unlink()
    path.write_bytes(raw)


def execute(registry: Registry, *statements: str) -> None:
    with closing(sqlite3.connect(registry.home / "catalog.sqlite")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def blobs(registry: Registry) -> dict[str, Path]:
    return {path.name: path for path in registry._store.blobs.all()}


HEADS = (3, 4)


def generalist(folder: Path, **changes: Any) -> Path:
    """A bundle of two sources, whose sketches are those of seeds 0 and 1."""
    plain = network(classes=sum(HEADS))
    config = NetworkConfig(plain.config.space, plain.config.hyperparameters, sum(HEADS), 16, heads=HEADS)
    net = Supernet(config)
    net.load_state_dict(plain.state_dict())
    entries = [
        source(f"d{index}", classes=size, val_accuracy=0.5 + index / 10, test_accuracy=0.4)
        for index, size in enumerate(HEADS)
    ]
    training = {**config_data(net)["training"], "datasets": entries}
    sketches = [sketch(seed=index, classes=size, name=f"d{index}") for index, size in enumerate(HEADS)]
    return make_bundle(folder, net=net, sketches=sketches, training=training, **changes)


def kinds(registry: Registry, **changes: object) -> set[str]:
    return {problem.kind for problem in registry.verify(**changes).problems}  # type: ignore[arg-type]
