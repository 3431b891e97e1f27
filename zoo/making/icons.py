"""Icons by name, by style and by flag, and emoji by subgroup, from the sets of `@iconify/json`.

`python -m zoo.making.icons PACKAGE --out DIR [--emoji EMOJIBASE]`: PACKAGE is the unpacked npm package,
EMOJIBASE that of `emojibase-data`, which says of which subgroup of Unicode an emoji is. Needs `resvg-py`.
Sets whose licence forbids commercial use are left out.
"""

from __future__ import annotations

import argparse
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zoo.making.dataset import Picture, make

SIDE = 64
MIN_AUTHORS = 20  # who drew an icon of that name; fewer leave too little to test on
STYLE_IMAGES = 150  # of each set, for `icon_style`
NOT_BY_NAME = ("Logos", "Emoji", "Flags / Maps", "Programming")

# Ways to draw a thing, not things.
_STYLE = re.compile(
    r"-(outlined?|fill(ed)?|bold|linear|duotone|two-?tone|solid|sharp|rounded?|thin|light|regular|broken|line"
    r"|alt|o|variant|sm|lg|xs|xl|\d+(px|x)?)$"
)
# Words of the classes of `icon_food` and `icon_shapes`, which the zoo holds out: nothing so named is taken.
_HELD_OUT = re.compile(
    r"\b(apple|coffee|cup|mug|pizza|cake|cherry|carrot|egg|bread|ice-cream|wine|beer|hamburger|burger|cookie|lemon"
    r"|fish|utensils|milk|circle|square|triangle|star|heart|hexagon|pentagon|diamond|octagon|cube|sphere|infinity"
    r"|plus|add|minus|check|close|x|cross)\b"
)

Render = Callable[[str, int], NDArray[np.uint8]]
"""From an SVG and a side in pixels to uint8 ``(side, side, 3)``, on white."""


@dataclass(frozen=True)
class IconSet:
    """One set: its prefix, what the package says of it, and its icons by name."""

    prefix: str
    info: dict[str, Any]
    data: dict[str, Any]

    @property
    def author(self) -> str:
        """Who drew it; several sets of one author are one group."""
        return str(self.info["author"]["name"])

    def svg(self, name: str) -> str:
        """An icon of it as a document."""
        icon = self.data["icons"][name]
        box = [
            icon.get(key, self.data.get(key, default))
            for key, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
        ]
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{" ".join(map(str, box))}">{icon["body"]}</svg>'
        )


def read_sets(package: Path) -> list[IconSet]:
    """All sets that may be used commercially, in the order of their prefixes."""
    infos = json.loads((package / "collections.json").read_text("utf-8"))
    return [
        IconSet(prefix, info, json.loads((package / "json" / f"{prefix}.json").read_text("utf-8")))
        for prefix, info in sorted(infos.items())
        if "-NC" not in info["license"].get("spdx", "-NC")
    ]


def thing(name: str) -> str:
    """What an icon shows, without the words for how: `home-outline-24` shows a `home`."""
    while (shorter := _STYLE.sub("", name)) not in (name, ""):
        name = shorter
    return name


def by_name(sets: list[IconSet], render: Render) -> Iterator[Picture]:
    """Icons of one colour, of the things that most authors have drawn; the author is the group."""
    authors: dict[str, set[str]] = defaultdict(set)
    drawn: list[tuple[IconSet, str, str]] = []
    for icons in sets:
        if icons.info.get("palette") or icons.info.get("category") in NOT_BY_NAME:
            continue
        for name in icons.data["icons"]:
            shown = thing(name)
            authors[shown].add(icons.author)
            drawn.append((icons, name, shown))
    for icons, name, shown in drawn:
        if len(authors[shown]) >= MIN_AUTHORS and not _HELD_OUT.search(shown):
            pixels = render(icons.svg(name), SIDE)
            yield Picture(pixels[..., 1].copy(), shown, icons.author)


def by_style(sets: list[IconSet], render: Render) -> Iterator[Picture]:
    """Icons whose class is their set: how it draws, not what. What is drawn is the group."""
    for icons in sets:
        names = sorted(icons.data["icons"])
        if len(names) < STYLE_IMAGES or icons.info.get("category") in ("Logos", "Emoji"):
            continue
        for name in names[:: len(names) // STYLE_IMAGES][:STYLE_IMAGES]:
            if not _HELD_OUT.search(name):
                yield Picture(render(icons.svg(name), SIDE), icons.prefix, thing(name))


def by_subgroup(sets: list[IconSet], subgroups: dict[str, str], render: Render) -> Iterator[Picture]:
    """Emoji by subgroup of Unicode; one emoji in all designs is a group. Flags and skin tones are left out.

    Some sets name code points; in the others an emoji is known by the name that it has in those.
    """
    emoji = [icons for icons in sets if icons.info.get("category") == "Emoji" or "emoji" in icons.prefix]
    codes: dict[str, str] = {}
    for icons in emoji:
        for code, name in (icons.data.get("chars") or {}).items():
            codes.setdefault(name, bare(code))
    for icons in emoji:
        for name in sorted(icons.data["icons"]):
            if codes.get(name) in subgroups:
                yield Picture(render(icons.svg(name), SIDE), subgroups[codes[name]], codes[name])


def bare(code: str) -> str:
    """Code points in capitals, without the sign that asks for colour."""
    return code.upper().replace("-FE0F", "")


def read_subgroups(emojibase: Path) -> dict[str, str]:
    """The subgroup of each emoji by its code points, as `1F1E6-1F1E7`, without those of flags."""
    names = json.loads((emojibase / "meta/groups.json").read_text("utf-8"))["subgroups"]
    rows = json.loads((emojibase / "en/data.json").read_text("utf-8"))
    found = {
        bare(row["hexcode"]): names[str(row["subgroup"])] for row in rows if row.get("subgroup") is not None
    }
    return {code: name for code, name in found.items() if "flag" not in name}


def resvg(svg: str, side: int) -> NDArray[np.uint8]:
    """A `Render` by resvg; a drawing that it cannot read is a white square."""
    import resvg_py

    try:
        # Without the fonts of this machine, on which a drawing should not depend.
        png = resvg_py.svg_to_bytes(
            svg_string=svg, width=side, height=side, dpi=96.0, background="#ffffff", skip_system_fonts=True
        )
        image = Image.open(io.BytesIO(bytes(png))).convert("RGB")
    except ValueError:
        image = Image.new("RGB", (side, side), "white")
    square = Image.new("RGB", (side, side), "white")
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(square)


def main() -> None:
    """Make the corpora that the arguments allow."""
    parser = argparse.ArgumentParser(prog="python -m zoo.making.icons", description=__doc__)
    parser.add_argument("package", type=Path, help="folder of the unpacked @iconify/json")
    parser.add_argument("--out", type=Path, required=True, help="folder of the datasets")
    parser.add_argument("--emoji", type=Path, help="folder of the unpacked emojibase-data")
    arguments = parser.parse_args()
    sets = read_sets(arguments.package)
    rows = [
        make(by_name(sets, resvg), arguments.out / "icon_names", near=True, side=SIDE, split="by author"),
        make(by_style(sets, resvg), arguments.out / "icon_style", side=SIDE, split="by thing drawn"),
    ]
    if arguments.emoji:
        emoji = by_subgroup(sets, read_subgroups(arguments.emoji), resvg)
        rows.append(make(emoji, arguments.out / "emoji_subgroup", near=True, side=SIDE, split="by emoji"))
    for row in rows:
        print(json.dumps({key: value for key, value in row.items() if key != "per_class"}))


if __name__ == "__main__":
    main()
