"""Read off the folders: which room may import which, and that tests stand where their modules do."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "snt_zoo"

COMMON = ("components", "errors", "executor", "exports", "threads", "version")
"""Modules that every room may import."""

REGISTRY = ("bundle", "store", "catalog", "index", "upkeep", "hub")
"""The rooms within the registry, each of which may import those before it; its other modules are on top."""
ROOMS = tuple(f"registry.{name}" for name in REGISTRY)

BELOW = {
    "errors": (),
    "executor": (),
    "exports": (),
    "threads": (),
    "version": (),
    "components": (),
    "data": (),
    "formats": (),
    "networks": ("data", "formats"),
    "encoders": ("data", "formats", "networks"),
    "search": ("data", "formats", "networks"),
    "search.adapting": ("data", "encoders", "formats", "networks", "search"),
    **{
        each: ("data", "encoders", "formats", "networks", *ROOMS[:position])
        for position, each in enumerate((*ROOMS, "registry"))
    },
    "registry.remote": ("data", "encoders", "formats", "networks", *ROOMS, "registry"),
    "workflows": (
        "data",
        "encoders",
        "formats",
        "networks",
        "registry",
        "registry.remote",
        *ROOMS,
        "search",
        "search.adapting",
    ),
    "zoo": ("data", "encoders", "networks", "registry", "registry.remote", *ROOMS, "search", "workflows"),
    "service": (
        "data",
        "encoders",
        "formats",
        "networks",
        "registry",
        "registry.remote",
        *ROOMS,
        "search",
        "search.adapting",
        "workflows",
        "zoo",
    ),
    "": ("data", "encoders", "networks", "registry", *ROOMS, "search", "search.adapting", "workflows", "zoo"),
    "cli": (
        "",
        "data",
        "formats",
        "networks",
        "registry",
        "registry.hub",
        "registry.remote",
        "search",
        "search.adapting",
        "service",
        "workflows",
        "zoo",
    ),
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


def test_every_module_that_does_something_has_its_tests() -> None:
    """In a file of its own, or in its package's, where all modules of the package go through one case."""
    missing = []
    for path in (path.relative_to(PACKAGE) for path in MODULES.values()):
        nodes = ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8")))
        does_something = any(isinstance(node, ast.FunctionDef) for node in nodes)
        if does_something and path.stem != "__init__":
            own = TESTS / path.parent / f"test_{path.stem}.py"
            if not own.exists() and not own.parent.with_name(f"test_{path.parent.name}.py").exists():
                missing.append(own.relative_to(TESTS.parent))
    assert not missing, f"write {', '.join(map(str, missing))}"


def test_a_rooms_tests_stand_where_their_module_or_package_does() -> None:
    for path in (path.relative_to(TESTS) for path in TESTS.rglob("*/test_*.py")):
        if (PACKAGE / path.parts[0]).is_dir():
            tested = PACKAGE / path.with_name(path.stem.removeprefix("test_"))
            assert tested.is_dir() or tested.with_suffix(".py").exists(), f"move tests/{path}"


@pytest.mark.parametrize(
    ("modules", "unneeded"),
    [
        ("snt_zoo, snt_zoo.components", {"torch", "numpy", "faiss", "click"}),
        # It takes more than a second, and only its datasets need it.
        ("snt_zoo.zoo, snt_zoo.search.adapting.finetune", {"torchvision"}),
    ],
)
def test_importing_what_everybody_uses_imports_nothing_heavy(modules: str, unneeded: set[str]) -> None:
    code = f"import sys, {modules}; print({unneeded!r} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


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
