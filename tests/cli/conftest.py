"""A folder of real images, and a registry that holds one tiny supernet, made through the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from sklearn.datasets import load_digits

from snt_zoo.cli.main import main

GENERALIST = Path(__file__).parents[2] / "snt_zoo" / "starter" / "nb201-generalist-all"  # of 30 sources
CLASSES = ("one", "two", "zero")  # as a folder lists them
_DIGITS = {"zero": 0, "one": 1, "two": 2}

Invoke = Callable[..., Result]


def invoke(*args: object, columns: int | None = None) -> Result:
    """Run the command line in this process, as in a pipe or in a terminal of so many columns."""
    env = {} if columns is None else {"COLUMNS": str(columns)}
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="snt-zoo", env=env)


def answer(*args: object) -> Any:
    """The JSON document of a command that succeeds."""
    result = invoke(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def reason(result: Result, code: int = 1) -> str:
    """The one line of a command that fails."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "Traceback" not in result.stderr
    return last


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test writes into the working tree, or sees the user's settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("SNT_ZOO_DEBUG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SNT_ZOO_HOME", str(tmp_path / "no-home"))


@pytest.fixture(scope="package", autouse=True)
def _no_starter_zoo() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("snt_zoo.registry.starter.starter_bundles", list)
        yield


@pytest.fixture(scope="package")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's digits 0, 1 and 2 as PNG files in class folders, 20 of each."""
    root = tmp_path_factory.mktemp("data") / "photos"
    digits = load_digits()
    for name, digit in _DIGITS.items():
        (root / name).mkdir(parents=True)
        for i, pixels in enumerate(digits.images[digits.target == digit][:20]):
            Image.fromarray((pixels * 15.9).astype("uint8")).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="package")
def pretrained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A registry with one supernet, and what `pretrain` answered."""
    root = tmp_path_factory.mktemp("zoo")
    settings = ("--set", "channels=2", "--set", "cells_per_stage=1", "--epochs", 1)
    where = ("--out", root / "bundle", "--add", "--home", root / "home")
    return root / "home", answer("pretrain", photos, "--name", "tiny", "--tag", "small", *settings, *where)


@pytest.fixture
def home(pretrained: tuple[Path, Any]) -> Path:
    """The folder of that registry; not to be changed."""
    return pretrained[0]


@pytest.fixture(scope="package")
def general(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A registry that holds a generalist of the starter zoo, and its id; not to be changed."""
    home = tmp_path_factory.mktemp("g")
    return home, answer("add", GENERALIST, "--home", home)["id"]


@pytest.fixture
def own(pretrained: tuple[Path, Any], tmp_path: Path) -> tuple[Path, str]:
    """A registry of one's own with the tiny supernet, and its id."""
    home = Path(shutil.copytree(pretrained[0], tmp_path / "home"))
    return home, pretrained[1]["id"]


@pytest.fixture(scope="package")
def finetuned(
    photos: Path, pretrained: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """The folder of a finetuned model, and what `finetune` answered."""
    out = tmp_path_factory.mktemp("runs") / "model"
    home = pretrained[0]
    return out, answer("finetune", photos, "--epochs", 1, "--no-floor", "--out", out, "--home", home)
