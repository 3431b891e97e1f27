"""Icons by name and style, emoji by subgroup."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.making import icons
from zoo.making.icons import by_name, by_style, by_subgroup, read_sets, read_subgroups, thing


def render(svg: str, side: int) -> NDArray[np.uint8]:
    """Noise that the document decides."""
    seed = int.from_bytes(hashlib.sha256(svg.encode()).digest()[:4], "big")
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def package(folder: Path, sets: dict[str, dict[str, Any]]) -> Path:
    """A package of icon sets: of each what differs from a plain one, and its icons' names."""
    (folder / "json").mkdir(parents=True)
    infos = {}
    for prefix, said in sets.items():
        names = said.pop("names")
        infos[prefix] = {"author": {"name": prefix}, "license": {"spdx": "MIT"}, **said.get("info", {})}
        data = {"icons": {name: {"body": f"<{prefix}-{name}/>"} for name in names}, "width": 24, "height": 20}
        data |= {"chars": said.get("chars", {})}
        (folder / "json" / f"{prefix}.json").write_text(json.dumps(data), "utf-8")
    (folder / "collections.json").write_text(json.dumps(infos), "utf-8")
    return folder


def test_words_for_how_a_thing_is_drawn_are_no_part_of_its_name() -> None:
    assert thing("home-outline-24") == thing("home-filled") == thing("home") == "home"
    assert thing("arrow-left-bold") == "arrow-left" and thing("24") == "24" and thing("fill") == "fill"


def test_icons_of_things_that_many_drew_and_that_are_not_held_out(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(icons, "MIN_AUTHORS", 2)
    folder = package(
        tmp_path,
        {
            "one": {"names": ["home-outline", "home-fill", "apple", "home-plus", "only-mine"]},
            "two": {"names": ["home", "apple", "home-plus"]},
            "brands": {"names": ["home"], "info": {"category": "Logos"}},
            "colour": {"names": ["home"], "info": {"palette": True}},
            "private": {"names": ["home"], "info": {"license": {"spdx": "CC-BY-NC-4.0"}}},
            "silent": {"names": ["home"], "info": {"license": {"title": "ask me"}}},
        },
    )
    sets = read_sets(folder)
    assert {found.prefix for found in sets} == {"one", "two", "brands", "colour"}
    assert sets[-1].svg("apple").count('viewBox="0 0 24 20"') == 1
    found = list(by_name(sets, render))
    assert [(p.label, p.group) for p in found] == [("home", "one"), ("home", "one"), ("home", "two")]
    assert all(p.pixels.shape == (icons.SIDE, icons.SIDE) for p in found)


def test_the_class_of_a_style_is_the_set(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(icons, "STYLE_IMAGES", 3)
    names = [f"thing-{letter}" for letter in "abcdefg"]
    sets = read_sets(package(tmp_path, {"one": {"names": names}, "few": {"names": names[:2]}}))
    found = list(by_style(sets, render))
    assert [p.label for p in found] == ["one"] * 3 and len({p.group for p in found}) == 3


def test_emoji_are_known_by_code_or_by_the_name_that_another_set_gives_them(tmp_path: Path) -> None:
    emoji = {"category": "Emoji"}
    folder = package(
        tmp_path / "icons",
        {
            "coded": {
                "names": ["cat", "flag"],
                "info": emoji,
                "chars": {"1f408-fe0f": "cat", "1f1e6": "flag"},
            },
            "emoji-named": {"names": ["cat", "chimera"]},
        },
    )
    base = tmp_path / "base"
    (base / "meta").mkdir(parents=True)
    (base / "en").mkdir()
    names = {"subgroups": {"0": "animal-mammal", "1": "country-flag"}}
    (base / "meta/groups.json").write_text(json.dumps(names), "utf-8")
    rows = [{"hexcode": "1F408", "subgroup": 0}, {"hexcode": "1F1E6", "subgroup": 1}, {"hexcode": "1F1E7"}]
    (base / "en/data.json").write_text(json.dumps(rows), "utf-8")
    assert read_subgroups(base) == {"1F408": "animal-mammal"}
    found = list(by_subgroup(read_sets(folder), read_subgroups(base), render))
    assert [(p.label, p.group) for p in found] == [("animal-mammal", "1F408")] * 2
