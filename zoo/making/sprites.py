"""Sprites of a game by what they are, from the tile sets of Cataclysm: Dark Days Ahead.

`python -m zoo.making.sprites PACKAGE --out DIR`: PACKAGE is the unpacked Debian package `cataclysm-dda-data`.
A tile set cuts its pictures from large ones and says which things each shows; the data of the game says of
what type an item and of what species a creature is. One thing in all tile sets is a group.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from zoo.making.dataset import Picture, fitted, make, on_white

SIDE = 64
SMALLEST = 16  # pixels of a sprite's longer side; below that a thing is a few dots
MOST = 600  # images of a class: items of the commonest types outnumber the others by far

# What the start of a name says; worn things, drawn over a figure, show too little of themselves.
PREFIXES = {"t_": "terrain", "f_": "furniture", "vp_": "vehicle part", "fd_": "field", "tr_": "trap"}
# Types of items that look alike or are told apart by nothing to be seen.
TYPES = {
    "AMMO": "ammunition",
    "ARMOR": "clothing",
    "TOOL_ARMOR": "clothing",
    "BOOK": "book",
    "COMESTIBLE": "food",
    "GUN": "gun",
    "GUNMOD": "gun part",
    "MAGAZINE": "magazine",
    "WHEEL": "wheel",
    "BIONIC_ITEM": "implant",
    "TOOL": "tool",
}


def read_things(json_folder: Path) -> dict[str, str]:
    """Class of each item and creature by its id."""
    found: dict[str, str] = {}
    for path in sorted(json_folder.rglob("*.json")):
        rows: Any = json.loads(path.read_text("utf-8"))
        for row in rows if isinstance(rows, list) else [rows]:
            if not isinstance(row, dict) or not isinstance(row.get("id"), str):
                continue
            if row.get("type") in TYPES:
                found[row["id"]] = TYPES[row["type"]]
            elif row.get("type") == "MONSTER" and row.get("species"):
                found[row["id"]] = str(row["species"][0]).lower()
    return found


def label_of(name: str, things: dict[str, str]) -> str | None:
    """The class of a thing; None where nothing says it."""
    for start, label in PREFIXES.items():
        if name.startswith(start):
            return label
    return things.get(name)


def first_sprite(entry: Any) -> int | None:
    """The number of the first picture that a tile names: alone, in a list, or with a weight."""
    if isinstance(entry, list):
        return first_sprite(entry[0]) if entry else None
    if isinstance(entry, dict):
        return first_sprite(entry.get("sprite"))
    return entry if isinstance(entry, int) and entry >= 0 else None


def read_tiles(folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """The name of each thing of a tile set, with its picture, RGBA."""
    config = json.loads((folder / "tile_config.json").read_text("utf-8"))
    plain = config["tile_info"][0]
    sheets: list[
        tuple[int, int, int, Image.Image]
    ] = []  # first number, width and height of a sprite, picture
    count = 0
    for sheet in config["tiles-new"]:
        image = Image.open(folder / sheet["file"]).convert("RGBA")
        width = sheet.get("sprite_width", plain["width"])
        height = sheet.get("sprite_height", plain["height"])
        sheets.append((count, width, height, image))
        count += (image.width // width) * (image.height // height)
    for sheet in config["tiles-new"]:
        for tile in sheet.get("tiles", []):
            number = first_sprite(tile.get("fg"))
            names = tile["id"] if isinstance(tile["id"], list) else [tile["id"]]
            if number is None or number >= count:
                continue
            start, width, height, image = next(s for s in reversed(sheets) if s[0] <= number)
            row, column = divmod(number - start, image.width // width)
            box = (column * width, row * height, (column + 1) * width, (row + 1) * height)
            yield names[0], image.crop(box)


def sprites(package: Path) -> Iterator[Picture]:
    """Every sprite that is of a class, cut to what is drawn."""
    data = next(package.rglob("gfx/*/tile_config.json")).parents[2]
    things = read_things(data / "json")
    for config in sorted((data / "gfx").glob("*/tile_config.json")):
        for name, image in read_tiles(config.parent):
            label, box = label_of(name, things), image.getbbox()
            if label is None or box is None or max(box[2] - box[0], box[3] - box[1]) < SMALLEST:
                continue
            yield Picture(fitted(on_white(image.crop(box)), SIDE), label, name)


def main() -> None:
    """Make the corpus."""
    parser = argparse.ArgumentParser(prog="python -m zoo.making.sprites", description=__doc__)
    parser.add_argument("package", type=Path, help="folder of the unpacked cataclysm-dda-data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the dataset")
    arguments = parser.parse_args()
    row = make(
        sprites(arguments.package),
        arguments.out / "survival_sprites",
        most=MOST,
        side=SIDE,
        split="by thing: one thing in all tile sets stays in one part",
    )
    print(json.dumps(row))


if __name__ == "__main__":
    main()
