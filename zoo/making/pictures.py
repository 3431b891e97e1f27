"""Pictures whose names say what they show: `python -m zoo.making.pictures NAME PACKAGE --out DIR`.

NAME is a key of `KINDS`, PACKAGE the folder of the unpacked package that the table names. A kind says which
files, what of a path is the class, and what of it is the group that must stay in one part.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.making.dataset import Picture, fitted, make, on_white, shrunk
from zoo.making.icons import resvg

SIDE = 64  # of drawn pictures, in one npz
SHORT_SIDE = 128  # of photographs at most, in class folders
LARGE = 512  # pixels of the short side from which a photograph is cut into quarters
LONGEST = 4.0  # times its short side; what is longer is a strip, not a picture
SMALLEST = 16  # pixels of the short side


@dataclass(frozen=True)
class Kind:
    """How one dataset is read off a package.

    Args:
        package: the Debian or npm package.
        files: glob from the package's root.
        label: its first group in a path, looked for in the path below the first folder that `files` names
            with certainty, is the class.
        names: for classes that are named otherwise, or several of which are one; empty leaves out.
        only: whether labels that `names` lacks are left out.
        group: what `re.sub` takes out of a path's stem to leave the group's name.
        folders: photographs, at their own aspect ratio, in two halves where they are wide, in four quarters
            where they are large.
        most: images of a class.
    """

    package: str
    files: str
    label: str
    names: dict[str, str] = field(default_factory=dict)
    only: bool = False
    group: str = r"[-_]?\d+$"
    folders: bool = False
    most: int | None = 400


def _one(name: str, *words: str) -> dict[str, str]:
    return dict.fromkeys(words, name)


KINDS = {
    "landscapes": Kind(
        "Debian endless-sky-data",
        "**/images/land/*.jpg",
        r"/land/([a-z]+)",
        names={
            **_one("desert", "desert", "dune"),
            **_one("mountain", "mountain", "hills", "valley"),
            **_one("water", "water", "sea"),
            **_one("space", "space", "nasa", "station"),
            **{name: name for name in ("badlands", "beach", "canyon", "city", "fields", "fog", "forest")},
            **{name: name for name in ("lava", "sky", "snow")},
        },
        only=True,
        group=r"$^",
        folders=True,
    ),
    "aerial_ground": Kind(
        "Debian flightgear-data-base",
        "**/Textures/Terrain/*.png",
        r"/Terrain/(?!.*(?:mask|relief|overlay|colors|winter|airport))[^/]*?"
        r"(city|town|suburbs|builtup|slum|crop|rice|countryside|forest|evergreen|deciduous|sand|dunes|rock|lava"
        r"|gravel|snow|glacier|packice|shrub|scrub|bush|heath|tundra|grass|marsh|tidal|industr|commercial|transport)",
        names={
            **_one("town", "city", "town", "suburbs", "builtup", "slum"),
            **_one("fields", "crop", "rice", "countryside"),
            **_one("forest", "forest", "evergreen", "deciduous"),
            **_one("sand", "sand", "dunes"),
            **_one("rock", "rock", "lava", "gravel"),
            **_one("snow and ice", "snow", "glacier", "packice"),
            **_one("shrub", "shrub", "scrub", "bush", "heath", "tundra"),
            **_one("marsh", "marsh", "tidal"),
            **_one("industry", "industr", "commercial", "transport"),
        },
        group=r"([-_.]?(hires|autumn|summer|green|base|dark(er)?|large-matched|alt|\d+[a-z]?))+$",
        folders=True,
    ),
    "fantasy_units": Kind(
        "Debian wesnoth-1.16-data",
        "**/core/images/units/**/*.png",
        r"/units/([a-z-]+)",
        names={"transport": "", "unknown-unit": "", "dunefolk": "dunefolk"},
        group=r"[-+].*$",
    ),
    "fantasy_terrain": Kind(
        "Debian wesnoth-1.16-data",
        "**/core/images/terrain/**/*.png",
        r"/terrain/([a-z-]+)/",
        names={**_one("", "off-map", "symbols", "masks", "fog", "void", "misc"), "walls": "cave"},
        group=r"[-_]?(tile)?\d*([-_](n|s|ne|nw|se|sw|bl|br|l|r|tl|tr|b|t|e|w|m)+)*$",
    ),
    "clip_art_kinds": Kind(
        "Debian openclipart-svg",
        "**/openclipart/svg/*/*/**/*.svg",
        r"/svg/[^/]+/([^/.]+)/",
        names={"gradients": "", "duplicates": "", "examples": ""},
    ),
    "traffic_signs": Kind(
        "npm @rapideditor/mapillary_sprite_source",
        "package_signs/*.svg",
        r"/(.*?)(?:--g\d+)?\.svg$",
        group=r"--g\d+$",
    ),
}


def sign_kind(name: str) -> str:
    """The class of a traffic sign, of which the name has the kind, then what it says."""
    kind, _, what = name.partition("--")
    if kind != "regulatory":
        return kind
    for label, said in (
        ("end of a rule", r"^end-of"),
        ("speed limit", r"speed"),
        ("prohibition", r"^no-"),
        ("direction", r"^(turn|go|keep|pass|roundabout|one-way|u-turn|left|right)"),
        ("weight or size limit", r"limit"),
    ):
        if re.search(said, what):
            return label
    return "other rule"


def pictures(name: str, package: Path) -> Iterator[Picture]:
    """Every picture of a kind that has a class and the shape of one."""
    kind = KINDS[name]
    for path in sorted(package.glob(kind.files)):
        inner = f"/{path.relative_to(package).as_posix()}"
        found = re.search(kind.label, inner)
        if found is None or (kind.only and found[1] not in kind.names):
            continue
        label = sign_kind(Path(found[1]).name) if name == "traffic_signs" else found[1]
        label = kind.names.get(label, label)
        if not label:
            continue
        group = f"{path.parent.name}/{re.sub(kind.group, '', path.stem)}"
        for pixels in _pixels(path, folders=kind.folders):
            yield Picture(pixels, label, group)


def _pixels(path: Path, *, folders: bool) -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """A file's picture, or the parts of a photograph; nothing if it is a strip or a few dots."""
    if path.suffix == ".svg":
        yield resvg(path.read_text("utf-8", errors="replace"), SIDE)
        return
    with Image.open(path) as image:
        if folders:  # what is clear in a texture is a mask of the game
            picture = image.convert("RGB")
        else:
            picture = on_white(image.crop(image.convert("RGBA").getbbox() or (0, 0, 1, 1)))
    short, long = sorted(picture.size)
    if short < SMALLEST or long > LONGEST * short:
        return
    if not folders:
        yield fitted(picture, SIDE)
        return
    columns = 2 if picture.width >= 1.5 * picture.height or short >= LARGE else 1
    rows = 2 if short >= LARGE else 1
    width, height = picture.width // columns, picture.height // rows
    for number in range(columns * rows):
        top, left = (number // columns) * height, (number % columns) * width
        yield shrunk(picture.crop((left, top, left + width, top + height)), SHORT_SIDE)


def main() -> None:
    """Make one dataset."""
    parser = argparse.ArgumentParser(prog="python -m zoo.making.pictures", description=__doc__)
    parser.add_argument("name", choices=sorted(KINDS))
    parser.add_argument("package", type=Path, help="folder of the unpacked package")
    parser.add_argument("--out", type=Path, required=True, help="folder of the dataset")
    arguments = parser.parse_args()
    kind = KINDS[arguments.name]
    row = make(
        pictures(arguments.name, arguments.package),
        arguments.out / arguments.name,
        near=not kind.folders,
        most=kind.most,
        folders=kind.folders,
        source=kind.package,
        side=SHORT_SIDE if kind.folders else SIDE,
        split="by the file's name without number and variant",
    )
    print(json.dumps(row))


if __name__ == "__main__":
    main()
