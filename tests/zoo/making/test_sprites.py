"""Sprites cut from the sheets of a tile set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.making.sprites import SIDE, first_sprite, label_of, read_things, read_tiles, sprites

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9), (99, 0, 99)]


def sheet(path: Path, columns: int, rows: int, side: int, first: int) -> None:
    """A large picture: each sprite of one colour with a corner of another."""
    image = Image.new("RGBA", (columns * side, rows * side))
    for number in range(columns * rows):
        row, column = divmod(number, columns)
        colour = COLOURS[(first + number) % len(COLOURS)]
        image.paste(Image.new("RGBA", (side, side), (*colour, 255)), (column * side, row * side))
        image.putpixel((column * side, row * side), (1, 2, 3, 255))
    image.save(path)


def package(root: Path) -> Path:
    """A game with one tile set of two sheets and a few things."""
    game = root / "usr/share/games/game"
    folder = game / "gfx/tiles"
    folder.mkdir(parents=True)
    (game / "json").mkdir()
    sheet(folder / "a.png", 2, 1, 20, 0)
    sheet(folder / "b.png", 2, 2, 24, 2)
    config: dict[str, Any] = {
        "tile_info": [{"width": 20, "height": 20}],
        "tiles-new": [
            {"file": "a.png", "tiles": [{"id": ["t_wall", "t_wall_2"], "fg": 1}, {"id": "odd", "fg": 0}]},
            {
                "file": "b.png",
                "sprite_width": 24,
                "sprite_height": 24,
                "tiles": [
                    {"id": "mon_cow", "fg": [4]},
                    {"id": "axe", "fg": [{"weight": 2, "sprite": 2}]},
                    {"id": "t_far", "fg": 99},
                    {"id": "t_none"},
                ],
            },
        ],
    }
    (folder / "tile_config.json").write_text(json.dumps(config), "utf-8")
    things = [
        {"id": "mon_cow", "type": "MONSTER", "species": ["MAMMAL"]},
        {"id": "axe", "type": "TOOL"},
        {"id": ["x"], "type": "TOOL"},
        "a word",
    ]
    (game / "json/things.json").write_text(json.dumps(things), "utf-8")
    return root


def test_a_number_names_a_sprite_over_all_sheets(tmp_path: Path) -> None:
    folder = next(package(tmp_path).rglob("gfx/tiles"))
    found = dict(read_tiles(folder))
    assert list(found) == ["t_wall", "odd", "mon_cow", "axe"]
    sizes = {name: image.size for name, image in found.items()}
    assert sizes == {"t_wall": (20, 20), "odd": (20, 20), "mon_cow": (24, 24), "axe": (24, 24)}
    for name, number in (("odd", 0), ("t_wall", 1), ("axe", 2), ("mon_cow", 4)):
        assert found[name].getpixel((5, 5)) == (*COLOURS[number], 255), name


def test_what_a_thing_is_says_its_name_or_the_game(tmp_path: Path) -> None:
    root = package(tmp_path)
    things = read_things(next(root.rglob("json")))
    assert things == {"mon_cow": "mammal", "axe": "tool"}
    assert label_of("t_wall", things) == "terrain" and label_of("odd", things) is None
    assert [(p.label, p.group) for p in sprites(root)] == [
        ("terrain", "t_wall"),
        ("mammal", "mon_cow"),
        ("tool", "axe"),
    ]
    assert all(p.pixels.shape == (SIDE, SIDE, 3) and np.ptp(p.pixels) > 0 for p in sprites(root))


def test_the_first_of_several_sprites() -> None:
    assert [first_sprite(entry) for entry in (3, [4, 5], [], [{"weight": 1, "sprite": 6}], None, -1)] == [
        3,
        4,
        None,
        6,
        None,
        None,
    ]
