"""The parsers of outside bytes: real files to begin with, how to spoil them, and what reads them.

A reader may refuse with an error of `snt_zoo.errors` and nothing else. What it accepts is used a little
further, for bytes that are believed can do harm later.
"""

from __future__ import annotations

import io
import json
import random
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from benchmarks.limits import files_of_at_most, read_only
from benchmarks.mutations import (
    Mutation,
    spoil_bytes,
    spoil_image,
    spoil_json,
    spoil_npz,
    spoil_safetensors,
    zip_of,
)
from benchmarks.tiny_bundles import BACKBONE, sketch, supernet, write_tiny_bundle
from snt_zoo.data import open_dataset
from snt_zoo.data.decoding import check_header, decode_image
from snt_zoo.encoders.embedding import MOMENTS
from snt_zoo.errors import SntZooError
from snt_zoo.formats.tensor_file import load_tensors
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.model_folder import FORMAT, VERSION, load_model, write_into
from snt_zoo.registry import BundleConfig, Registry, read_bundle
from snt_zoo.registry.bundle.manifest import read_manifest, write_manifest
from snt_zoo.registry.bundle.sketch_file import dump_sketches, load_sketches
from snt_zoo.search.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint


@dataclass(frozen=True)
class Target:
    """A parser.

    Args:
        name: of it.
        seeds: good files.
        spoil: makes one edit.
        read: raises a `SntZooError`, or nothing.
    """

    name: str
    seeds: tuple[bytes, ...]
    spoil: Mutation
    read: Callable[[bytes], None]

    def case(self, seed: int, edits: list[int]) -> bytes:
        """A file with some edits, each decided by a number."""
        raw = self.seeds[seed % len(self.seeds)]
        for edit in edits:
            draw = random.Random(edit)
            if draw.random() < 0.05:  # the other half of another file
                other = draw.choice(self.seeds)
                raw = raw[: draw.randrange(len(raw) + 1)] + other[draw.randrange(len(other) + 1) :]
            else:
                raw = self.spoil(raw, draw)
        return raw

    def accepts(self, raw: bytes) -> bool:
        """Whether it reads that; raises what is no `SntZooError`."""
        try:
            self.read(raw)
        except SntZooError:
            return False
        return True


def make_targets(folder: Path) -> dict[str, Target]:
    """Every parser, by name.

    Args:
        folder: for files that some of them need.
    """
    bundle = write_tiny_bundle(folder / "bundle", seed=1, name="seed")
    held = {path.name: path.read_bytes() for path in bundle.iterdir()}
    sketches = (dump_sketches([sketch(1)]), dump_sketches([sketch(2), sketch(3, name="other")]))
    place = Path(tempfile.mkdtemp(dir=folder))

    def manifest(raw: bytes) -> None:
        (place / "manifest.json").write_bytes(raw)
        read_manifest(place)

    def npz(raw: bytes) -> None:
        (place / "x.npz").write_bytes(raw)
        dataset = open_dataset(place / "x.npz")
        dataset.train.tensor(4)

    def in_bundle(name: str) -> Callable[[bytes], None]:
        target = Path(tempfile.mkdtemp(dir=folder))

        def read(raw: bytes) -> None:
            for other, content in held.items():
                (target / other).write_bytes(content)
            (target / name).write_bytes(raw)
            write_manifest(target)  # so that the next guard alone can refuse it
            read_bundle(target)

        return read

    found = [
        Target("config", (held["config.json"],), spoil_json, _config),
        Target("manifest", (held["manifest.json"],), spoil_json, manifest),
        Target("safetensors", (held["model.safetensors"], *sketches), spoil_safetensors, _tensors),
        Target("sketches", sketches, spoil_safetensors, _sketches),
        Target("npz", _npz_seeds(), spoil_npz, npz),
        Target("images", _image_seeds(), spoil_image, _image),
        Target("bundle_config", (held["config.json"],), spoil_json, in_bundle("config.json")),
        Target(
            "bundle_model", (held["model.safetensors"],), spoil_safetensors, in_bundle("model.safetensors")
        ),
        Target("bundle_sketches", sketches[:1], spoil_safetensors, in_bundle("dataset.safetensors")),
        Target("bundle_card", (held["README.md"],), spoil_bytes, in_bundle("README.md")),
        *_model_targets(folder),
        Target("checkpoint", (_checkpoint_seed(folder),), spoil_safetensors, _checkpoint_reader(folder)),
        Target("full_disk", (b"\x00\x10\x00\x00", b"\x02\x0f\xff\xff"), spoil_bytes, _full_disk(bundle)),
    ]
    return {target.name: target for target in found}


def _model_targets(folder: Path) -> list[Target]:
    """The files of a derived model."""
    net = supernet(1)
    model = DerivedModel.inherit(net)
    config = {
        "format": FORMAT,
        "version": VERSION,
        "network": net.config.to_json(),
        "class_names": ["cat", "dog"],
        "source": "scratch",
        "accuracy": {"val": 0.5, "test": 0.25},
    }
    held = {
        "config.json": json.dumps(config).encode(),
        "genotype.json": json.dumps(model.genotype.to_json()).encode(),
        "model.safetensors": save({k: t.contiguous() for k, t in model.state_dict().items()}),
    }

    def reader(name: str) -> Callable[[bytes], None]:
        target = Path(tempfile.mkdtemp(dir=folder))

        def read(raw: bytes) -> None:
            for other, content in held.items():
                (target / other).write_bytes(content)
            (target / name).write_bytes(raw)
            load_model(target)

        return read

    edits = {"config.json": spoil_json, "genotype.json": spoil_json, "model.safetensors": spoil_safetensors}
    return [Target(f"model_{n.split('.')[0]}", (held[n],), edit, reader(n)) for n, edit in edits.items()]


def _checkpoint_seed(folder: Path) -> bytes:
    save_checkpoint(folder / "run", {"a.b": torch.arange(9.0), "n": torch.tensor(3)}, {"stage": "search"})
    return (folder / "run" / CHECKPOINT).read_bytes()


def _checkpoint_reader(folder: Path) -> Callable[[bytes], None]:
    place = Path(tempfile.mkdtemp(dir=folder))

    def read(raw: bytes) -> None:
        (place / CHECKPOINT).write_bytes(raw)
        load_checkpoint(place)

    return read


def _full_disk(bundle: Path) -> Callable[[bytes], None]:
    """Not a parser: a registry, a checkpoint and a model with so little room, or where nobody may write.

    The first byte says which, the others how many bytes a file may have. What is refused must leave no trace.
    """

    def work(raw: bytes) -> None:
        kind, room = (raw[0] if raw else 0), int.from_bytes(raw[1:4], "big")
        with tempfile.TemporaryDirectory() as place:
            home = Registry.open(Path(place) / "home").home
            fault = read_only(home) if kind % 2 else files_of_at_most(room)
            try:
                with fault:
                    Registry.open(home).add(bundle)
                    save_checkpoint(Path(place) / "run", {"a": torch.arange(9999.0)}, {})
                    write_into(
                        Path(place) / "run", {"a.safetensors": {"a": torch.arange(9999.0)}, "b.json": {}}
                    )
            finally:
                registry = Registry.open(home)
                for record in registry.list():
                    registry.get(record.id)
                assert registry.verify().problems == ()
                assert not registry._store.leftovers()
                run = Path(place) / "run"
                assert not (run / CHECKPOINT).exists() or load_checkpoint(run)
                assert (run / "a.safetensors").exists() == (run / "b.json").exists()

    return work


def _config(raw: bytes) -> None:
    config = BundleConfig.from_bytes(raw)
    assert BundleConfig.from_bytes(config.to_bytes()) == config


def _tensors(raw: bytes) -> None:
    tensors, metadata = load_tensors(raw, what="x", limit=1_000_000)
    assert sum(tensor.nbytes for tensor in tensors.values()) <= len(raw)
    assert all(isinstance(text, str) for text in metadata.values())


def _sketches(raw: bytes) -> None:
    for one in load_sketches(raw, backbone=BACKBONE):
        assert one.full_covariances().isfinite().all()
        assert MOMENTS.embed(one).isfinite().all()
        assert abs(float(one.frequencies.sum()) - 1.0) < 1e-6


def _image(raw: bytes) -> None:
    check_header(raw)
    pixels = decode_image(raw, size=8)
    assert pixels.shape == (3, 8, 8)


def _npz_seeds() -> tuple[bytes, ...]:
    draw = np.random.default_rng(0)
    seeds = []
    for shape, names in (((8, 9, 9, 3), True), ((8, 9, 9), False)):
        arrays: dict[str, np.ndarray] = {}
        for split in ("train", "val", "test"):
            arrays[f"{split}_images"] = draw.integers(0, 256, shape).astype(np.uint8)
            arrays[f"{split}_labels"] = (np.arange(8) % 2)[:, None]
        if names:
            arrays["class_names"] = np.array(["cat", "dog"])
        members = {f"{key}.npy": _npy(array) for key, array in arrays.items()}
        seeds.append(zip_of(members, zipfile.ZIP_DEFLATED))
    return tuple(seeds)


def _npy(array: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


def _image_seeds() -> tuple[bytes, ...]:
    draw = np.random.default_rng(0)
    colour = Image.fromarray(draw.integers(0, 256, (13, 11, 3)).astype(np.uint8))
    wide = Image.fromarray(draw.integers(0, 65536, (13, 11)).astype(np.uint16))
    palette = colour.quantize(16)
    pictures: list[tuple[Image.Image, str, dict[str, Any]]] = [
        *((colour, kind, {}) for kind in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")),
        (colour.convert("RGBA"), "PNG", {}),
        (palette, "PNG", {"transparency": 3}),
        (wide, "PNG", {}),
        (wide, "TIFF", {"compression": "tiff_lzw"}),
        (colour.convert("F"), "TIFF", {}),
        (colour.convert("CMYK"), "JPEG", {"progressive": True}),
        (colour.convert("1"), "TIFF", {"compression": "group4"}),
        (colour.convert("LA"), "PNG", {}),
    ]
    exif = Image.Exif()
    exif[274] = 6  # turned
    seeds = []
    for picture, kind, options in [*pictures, (colour, "JPEG", {"exif": exif})]:
        sink = io.BytesIO()
        picture.save(sink, kind, **options)
        seeds.append(sink.getvalue())
    return tuple(seeds)
