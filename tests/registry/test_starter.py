"""The user's registry: seeded once, and opened without torch where nothing is left to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from snt_zoo.registry import starter

COMMANDS = (
    ["list", "--json"],
    ["show", "one", "--json"],
    ["aliases", "one", "--json"],
    ["lineage", "one", "--json"],
    ["tag", "one", "--add", "mine", "--json"],
    ["limit", "--json"],
)
HEAVY = ("torch", "faiss", "ot", "scipy", "torchvision", "huggingface_hub")


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a registry with a starter zoo of one supernet."""
    bundles = starter.starter_bundles()[:1]
    monkeypatch.setattr(starter, "starter_bundles", lambda: bundles)
    home = tmp_path / "home"
    assert [record.name for record in starter.open_registry(home).list()] == [bundles[0].name]
    return home


def test_the_starter_zoo_is_put_in_once(one: Path) -> None:
    registry = starter.open_registry(one)
    registry.remove(registry.list()[0].id)
    assert starter.open_registry(one).list() == []
    assert starter.open_registry(one.with_name("empty"), starter=False).list() == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: str(words[0]))
def test_what_reads_the_catalog_alone_loads_nothing_heavy(one: Path, command: list[str]) -> None:
    name = starter.open_registry(one).list()[0].name
    words = [name if word == "one" else word for word in command]
    code = f"""
import sys
from snt_zoo.registry import starter
starter.starter_bundles = list
from snt_zoo.cli.main import main
main({[*words, "--home", str(one)]!r}, standalone_mode=False)
loaded = [name for name in {HEAVY!r} if name in sys.modules]
print(loaded, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) and done.stderr.splitlines()[-1] == "[]"


def test_an_installed_pack_is_offered_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of the second name, with bundles in the same folder; without it there are the first's."""
    first = starter.starter_bundles()
    bundle = tmp_path / "snt_zoo_pictures/starter/zebra"
    bundle.mkdir(parents=True)
    (tmp_path / "snt_zoo_pictures/__init__.py").touch()
    (bundle / "manifest.json").touch()
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert sorted(starter.starter_bundles()) == sorted([*first, bundle])
    finally:  # else other tests of this process have the package too
        sys.modules.pop("snt_zoo_pictures", None)
