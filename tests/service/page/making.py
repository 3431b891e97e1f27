"""Supernets, runs and folders of images for the tests of the page."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from tests.registry.making import config_data, make_bundle, network, sketch, source

HOSTILE = '<script>alert("x")</script>'
COLOURS = {"red": (200, 30, 40), "green": (40, 160, 60), "blue": (30, 60, 200)}


def hostile_bundle(folder: Path) -> Path:
    """A bundle whose every free text is markup."""
    net = network(seed=3)
    names = [f"{HOSTILE} {number}" for number in range(net.config.num_classes)]
    made = sketch(seed=3, classes=len(names), name=HOSTILE)
    entry = source(HOSTILE, classes=len(names)) | {
        "source": HOSTILE,
        "licence": HOSTILE,
        "attribution": HOSTILE,
    }
    training = config_data(net)["training"] | {"datasets": [entry], "recipe": {"trick": HOSTILE}}
    return make_bundle(
        folder,
        net=net,
        sketches=[made],
        name="hostile",
        description=HOSTILE,
        class_names=names,
        licence=HOSTILE,
        training=training,
    )


def image(colour: tuple[int, int, int], seed: int, size: int = 24) -> bytes:
    """A noisy picture of one colour."""
    noise = np.random.default_rng(seed).normal(0, 25, (size, size, 3))
    pixels = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pictures(count: int = 12) -> dict[str, bytes]:
    """A small dataset as a browser sends it: paths in a folder, and files."""
    return {
        f"photos/{name}/{number}.png": image(colour, seed=100 * place + number)
        for place, (name, colour) in enumerate(COLOURS.items())
        for number in range(count)
    }


def write_folder(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    """The same on a disk; returns the dataset's folder."""
    for name, content in (files or pictures()).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / "photos"


def zipped(files: dict[str, bytes]) -> bytes:
    """The same in an archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()
