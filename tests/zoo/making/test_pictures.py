"""Pictures whose files say what they show."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.making import pixels
from zoo.making import pictures as making
from zoo.making.pictures import KINDS, SHORT_SIDE, SIDE, pictures, sign_kind
from zoo.sources import read_sources


def picture(path: Path, width: int, height: int, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(height, width, 3, seed=seed)).save(path)


def test_wide_photographs_become_two_halves_of_one_group(tmp_path: Path) -> None:
    folder = tmp_path / "usr/images/land"
    for name, width in (("beach0", 400), ("dune3-ann", 200), ("earthrise", 400), ("fog1", 900)):
        picture(folder / f"{name}.jpg", width, 200)
    found = list(pictures("landscapes", tmp_path))
    assert [(p.label, p.group) for p in found] == [
        ("beach", "land/beach0"),
        ("beach", "land/beach0"),
        ("desert", "land/dune3-ann"),
    ]
    assert [p.pixels.shape for p in found] == [(SHORT_SIDE, SHORT_SIDE, 3)] * 3


def test_a_large_texture_is_cut_into_quarters_and_seasons_are_one_group(tmp_path: Path) -> None:
    folder = tmp_path / "usr/share/Textures/Terrain"
    names = (
        "cropgrass-hires",
        "cropgrass-hires-autumn",
        "town-europe",
        "town-mask",
        "airport-grass",
        "grain",
    )
    for number, name in enumerate(names):
        picture(folder / f"{name}.png", 512, 512, number)
    picture(folder / "snow1.png", 256, 256)
    found = list(pictures("aerial_ground", tmp_path))
    assert [(p.label, p.group.removeprefix("Terrain/")) for p in found] == [
        *[("fields", "cropgrass")] * 8,
        ("snow and ice", "snow"),
        *[("town", "town-europe")] * 4,
    ]
    assert {p.pixels.shape for p in found} == {(SHORT_SIDE, SHORT_SIDE, 3)}
    assert len({p.pixels.tobytes() for p in found}) == 13


def test_frames_and_variants_of_one_drawing_are_one_group(tmp_path: Path) -> None:
    units, terrain = tmp_path / "data/core/images/units", tmp_path / "data/core/images/terrain"
    for number, name in enumerate(("orcs/grunt.png", "orcs/grunt-attack-1.png", "drakes/burner+old.png")):
        picture(units / name, 72, 72, number)
    picture(units / "unknown-unit.png", 72, 72)
    picture(units / "orcs/dot.png", 3, 72)
    found = list(pictures("fantasy_units", tmp_path))
    assert [(p.label, p.group) for p in found] == [
        ("drakes", "drakes/burner"),
        ("orcs", "orcs/grunt"),
        ("orcs", "orcs/grunt"),
    ]
    assert all(p.pixels.shape == (SIDE, SIDE, 3) for p in found)
    names = (
        "hills/regular.png",
        "hills/regular2.png",
        "hills/regular-n-ne.png",
        "void/void.png",
        "walls/a.png",
    )
    for number, name in enumerate(names):
        picture(terrain / name, 72, 72, number)
    found = list(pictures("fantasy_terrain", tmp_path))
    assert {(p.label, p.group) for p in found} == {("hills", "hills/regular"), ("cave", "walls/a")}


def test_a_sign_is_what_it_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    blank = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    monkeypatch.setattr(making, "resvg", lambda svg, side: (seen.append((svg, side)), blank)[1])
    folder = tmp_path / "package_signs"
    folder.mkdir()
    for name in ("regulatory--no-entry--g1", "regulatory--no-entry--g12", "warning--children--g1"):
        (folder / f"{name}.svg").write_text(name, "utf-8")
    found = list(pictures("traffic_signs", tmp_path))
    assert [(p.label, p.group) for p in found] == [
        ("prohibition", "package_signs/regulatory--no-entry"),
        ("prohibition", "package_signs/regulatory--no-entry"),
        ("warning", "package_signs/warning--children"),
    ]
    assert seen[-1] == ("warning--children--g1", SIDE)
    assert sign_kind("regulatory--end-of-no-parking") == "end of a rule"
    assert sign_kind("regulatory--maximum-speed-limit-30") == "speed limit"
    assert (
        sign_kind("regulatory--stop") == "other rule" and sign_kind("information--parking") == "information"
    )


def test_each_kind_can_be_found_and_named_and_is_a_source() -> None:
    rows = read_sources()
    for name, kind in KINDS.items():
        assert re.compile(kind.label).groups == 1 and re.compile(kind.group), name
        row = SimpleNamespace(**vars(rows[name]))
        assert row.source.startswith(kind.package) and row.may_ship and row.attribution, name
