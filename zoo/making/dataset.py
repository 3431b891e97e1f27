"""From labelled pictures to a dataset: copies removed, split by group, written as npz or class folders."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

PARTS = ("train", "val", "test")
SHARES = {"test": 0.2, "val": 0.1}  # of the images of each class
LARGEST = 0.3  # share of a class that one group may be outside training
FEWEST = {"train": 8, "val": 1, "test": 2}  # images of a class; one with fewer is left out


@dataclass(frozen=True)
class Picture:
    """One labelled picture.

    Args:
        pixels: uint8 ``(height, width)`` or ``(height, width, 3)``.
        label: name of its class.
        group: what it must stay together with: a drawer, a series, a variant of one thing.
    """

    pixels: NDArray[np.uint8]
    label: str
    group: str


def on_white(image: Image.Image, *, grey: bool = False) -> Image.Image:
    """The picture as RGB or grey, upright, with white where it is transparent."""
    image = ImageOps.exif_transpose(image)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB")


def fitted(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Pixels of a picture in the middle of a white square, ``(side, side)`` and the channels; never enlarged
    but by whole factors, as pixel art is."""
    factor = max(1, side // max(image.size))
    large = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    small = ImageOps.contain(large, (side, side)) if max(large.size) > side else large
    square = Image.new(image.mode, (side, side), "white")
    square.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
    return np.asarray(square)


def shrunk(image: Image.Image, short_side: int) -> NDArray[np.uint8]:
    """Pixels of a picture whose short side is at most so long, at its own aspect ratio."""
    scale = min(1.0, short_side / min(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def parts_of(pictures: Sequence[Picture]) -> dict[str, str]:
    """Training, validation or test for each group.

    Each class chooses until it has its shares, the commonest first: its groups are most of those that others
    share. A group that is most of a class trains. The order of groups is that of their names' hashes.
    """
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for picture in pictures:
        sizes[picture.label][picture.group] += 1
    order = {group: hashlib.blake2b(group.encode()).digest() for groups in sizes.values() for group in groups}
    parts: dict[str, str] = {}
    for label in sorted(sizes, key=lambda label: (-sizes[label].total(), label)):
        groups, total = sizes[label], sizes[label].total()
        held = Counter({part: sum(n for g, n in groups.items() if parts.get(g) == part) for part in SHARES})
        for group in sorted(groups.keys() - parts.keys(), key=lambda group: order[group]):
            lacking = [part for part, share in SHARES.items() if held[part] < share * total]
            parts[group] = lacking[0] if lacking and groups[group] <= LARGEST * total else "train"
            held[parts[group]] += groups[group]
    return parts


def without_copies(pictures: Iterable[Picture], removed: Counter[str], *, near: bool) -> list[Picture]:
    """Each picture once; one that bears two labels, or is of one colour, not at all.

    Args:
        pictures: in an order that decides which of several copies stays.
        removed: counts what goes, by reason.
        near: whether those of one class whose 16 × 16 average hashes are equal count as copies: drawings that
            one package took from another, rendered again.
    """
    kept: dict[bytes, Picture] = {}
    two_labels: set[bytes] = set()
    seen: set[tuple[str, bytes]] = set()
    for picture in pictures:
        if np.ptp(picture.pixels) == 0:
            removed["blank"] += 1
            continue
        key = hashlib.blake2b(picture.pixels.tobytes() + str(picture.pixels.shape).encode()).digest()
        if key in kept:
            removed["exact copies"] += 1
            if kept[key].label != picture.label:
                two_labels.add(key)
            continue
        alike = (picture.label, _average_hash(picture.pixels)) if near else ("", key)
        if alike in seen:
            removed["near copies"] += 1
            continue
        seen.add(alike)
        kept[key] = picture
    removed["two labels"] += len(two_labels)
    return [picture for key, picture in kept.items() if key not in two_labels]


def _average_hash(pixels: NDArray[np.uint8]) -> bytes:
    small = np.asarray(Image.fromarray(pixels).convert("L").resize((16, 16), Image.Resampling.BOX))
    return np.packbits(small > small.mean()).tobytes()


def split(
    pictures: Sequence[Picture], removed: Counter[str], *, most: int | None
) -> dict[str, list[Picture]]:
    """Three parts with whole groups in each, of classes that have enough, at most `most` images each."""
    part_of = parts_of(pictures)
    by_class: dict[str, dict[str, list[Picture]]] = defaultdict(lambda: {part: [] for part in PARTS})
    for picture in pictures:
        by_class[picture.label][part_of[picture.group]].append(picture)
    parts: dict[str, list[Picture]] = {part: [] for part in PARTS}
    for label in sorted(by_class):
        found = by_class[label]
        total = sum(map(len, found.values()))
        if any(len(found[part]) < fewest for part, fewest in FEWEST.items()):
            removed["classes with few images"] += total
            continue
        for part in PARTS:
            share = len(found[part]) if most is None else max(2, round(most * len(found[part]) / total))
            kept = sorted(found[part], key=lambda picture: hashlib.blake2b(picture.pixels.tobytes()).digest())
            parts[part] += kept[:share]
            removed["above the most of a class"] += max(0, len(kept) - share)
    return parts


def make(
    pictures: Iterable[Picture],
    out: Path,
    *,
    near: bool = False,
    most: int | None = None,
    folders: bool = False,
    **said: Any,
) -> dict[str, Any]:
    """Writes a dataset and its row.

    Args:
        pictures: in an order that decides which of several copies stays.
        out: without suffix; its last part is the dataset's name.
        near: see `without_copies`.
        most: images of a class in all, where there are more.
        folders: class folders of JPEG files in place of one npz, for pictures of their own sizes.
        said: what the row says beside the counts.

    Returns:
        The row that `out` with the suffix `.json` holds.
    """
    removed: Counter[str] = Counter()
    found: Counter[str] = Counter()

    def counted() -> Iterable[Picture]:
        for picture in pictures:
            found["images"] += 1
            yield picture

    parts = split(without_copies(counted(), removed, near=near), removed, most=most)
    classes = sorted({picture.label for picture in parts["train"]})
    if not classes:
        raise SystemExit(f"{out.name}: none of {found['images']} pictures is of a class with enough of them")
    out.parent.mkdir(parents=True, exist_ok=True)
    (_write_folders if folders else _write_npz)(parts, classes, out)
    row = {
        "dataset": out.name,
        "classes": len(classes),
        **{part: len(parts[part]) for part in PARTS},
        "images_found": found["images"],
        "removed": dict(removed),
        **said,
        "per_class": {
            name: [sum(picture.label == name for picture in parts[part]) for part in PARTS]
            for name in classes
        },
    }
    out.with_suffix(".json").write_text(json.dumps(row, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return row


def _write_npz(parts: dict[str, list[Picture]], classes: list[str], out: Path) -> None:
    arrays: dict[str, Any] = {"class_names": np.array(classes)}
    for part, pictures in parts.items():
        arrays[f"{part}_images"] = np.stack([picture.pixels for picture in pictures])
        labels = [classes.index(picture.label) for picture in pictures]
        arrays[f"{part}_labels"] = np.array(labels, dtype=np.int64).reshape(-1, 1)
    np.savez_compressed(out.with_suffix(".npz"), **arrays)


def _write_folders(parts: dict[str, list[Picture]], classes: list[str], out: Path) -> None:
    for part, pictures in parts.items():
        for number, picture in enumerate(pictures):
            folder = out / part / picture.label
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.pixels).save(folder / f"{number:05}.jpg", quality=88)
