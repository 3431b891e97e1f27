"""Which room may import which, read off the folders; and that importing the package costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "snt_zoo"

COMMON = ("components", "errors", "version")
"""Modules that every room may import."""

REGISTRY = ("bundle", "store", "catalog", "index", "upkeep", "hub")
"""The rooms within the registry, each of which may import those before it; its other modules are on top."""
ROOMS = tuple(f"registry.{name}" for name in REGISTRY)

BELOW = {
    "errors": (),
    "version": (),
    "components": (),
    "data": (),
    "formats": (),
    "networks": ("data", "formats", "search.adapting"),
    "encoders": ("data", "formats", "networks"),
    "search": ("data", "formats", "networks"),
    "search.adapting": ("data", "encoders", "formats", "networks", "search"),
    **{
        each: ("data", "encoders", "formats", "networks", *ROOMS[:position])
        for position, each in enumerate((*ROOMS, "registry"))
    },
    "workflows": (
        "data",
        "encoders",
        "formats",
        "networks",
        "registry",
        *ROOMS,
        "search",
        "search.adapting",
        "zoo",
    ),
    "zoo": ("data", "encoders", "networks", "registry", *ROOMS, "search", "workflows"),
    "": ("data", "networks", "search", "zoo"),
    "cli": ("", "data", "networks", "search", "search.adapting", "workflows", "zoo"),
    "__main__": ("cli",),
}
"""For each room, a folder or a module of the package, the rooms that it may import beside itself and `COMMON`
(the root, which names what is public, is the room without a name)."""


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(name: str) -> set[str]:
    """The package's modules that a module imports, anywhere in it and for whatever purpose."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            module = node.module or ""
            full = {f"{module}.{alias.name}" for alias in node.names}
            found |= {each if each in MODULES else module for each in full}
    return {each for each in found if each in MODULES and each != name}


def room(name: str) -> str:
    """The room of a module: the folder, or the longest path of folders, that `BELOW` knows."""
    parts = name.split(".")[1:]
    rooms = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((each for each in rooms if each in BELOW), ".".join(parts))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_only_rooms_below_its_own(name: str) -> None:
    own = room(name)
    allowed = {own, *BELOW[own], *COMMON}
    for other in sorted(imports(name)):
        assert room(other) in allowed, f"{name} imports {other}"


def test_no_imports_go_in_a_circle() -> None:
    """Wherever in a file an import stands, those for type checking included."""
    try:
        TopologicalSorter({name: imports(name) for name in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, snt_zoo; print([m for m in ('torch', 'numpy', 'faiss', 'click') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_neither_a_query_nor_a_run_waits_for_torchvision() -> None:
    """It takes more than a second to import, and only its datasets need it."""
    code = "import sys, snt_zoo.zoo, snt_zoo.search.adapting.finetune; print('torchvision' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_public_name_is_there() -> None:
    import snt_zoo

    assert all(getattr(snt_zoo, name) is not None for name in snt_zoo.__all__)
    assert set(snt_zoo.__all__) <= set(dir(snt_zoo))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = snt_zoo.nothing  # type: ignore[attr-defined]


def test_no_pickle_is_ever_read() -> None:
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "torch.load(" not in text and "allow_pickle=True" not in text
        assert not {"pickle", "dill", "joblib", "cloudpickle"} & {
            alias.name
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
