"""Which room may import which, and that importing the package costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "snt_zoo"
TRAINING = {"learners", "searchers", "finetune", "pretrain", "run", "recipe", "checkpoint", "budget", "head"}
TRAINING |= {
    "averaging",
    "bilevel",
    "conflict",
    "guards",
    "mirroring",
    "racing",
    "sandwich",
    "selection",
    "worth",
}

# A room may import itself, errors, and what stands here.
ALLOWED = {
    "formats": set(),
    "data": set(),
    "search": {"data", "formats"},
    "encoders": {"data", "search", "formats"},
    "registry": {"data", "encoders", "search", "formats"},
    "cli": {"zoo", "data", "search", "demo"},
}


def imports(file: Path) -> set[str]:
    """Names of the package's modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            module = node.module or ""
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("snt_zoo.") for name in found if name.startswith("snt_zoo.")}


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_rooms_import_only_what_they_may(room: str) -> None:
    known = {path.stem for path in PACKAGE.iterdir()} - {"__init__"}
    for file in (PACKAGE / room).rglob("*.py"):
        for name in imports(file):
            other = name.split(".")[0]
            if other in known:
                assert other in {room, "errors"} | ALLOWED[room], f"{file} imports snt_zoo.{name}"


@pytest.mark.parametrize("room", ["encoders", "registry"])
def test_retrieval_never_imports_training(room: str) -> None:
    for file in (PACKAGE / room).rglob("*.py"):
        trained = {n for n in imports(file) if n.startswith("search.") and n.split(".")[1] in TRAINING}
        assert not trained, f"{file} imports {trained}"


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, snt_zoo; print([m for m in ('torch', 'numpy', 'faiss', 'click') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_neither_a_query_nor_a_run_waits_for_torchvision() -> None:
    """It takes more than a second to import, and only its datasets need it."""
    code = "import sys, snt_zoo.zoo, snt_zoo.search.finetune; print('torchvision' in sys.modules)"
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
