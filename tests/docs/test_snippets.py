"""Every Python and shell snippet of the README and of the docs runs, or says why not.

The snippets of a page run in order, in a folder that holds `photos/` and some pictures beside it, with a
registry that holds the starter zoo. What cannot run here stands under a comment that gives the reason:

    <!-- skip: next "needs a GPU" -->
"""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import SkipTest

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, SkipParser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

SHORTER = (
    (re.compile(r"""(--budget |budget=")\d+[smh]"""), r"\g<1>2s"),
    (re.compile(r"(--epochs |epochs=)\d+"), r"\g<1>1"),
)
"""Budgets on the pages are for people. Here each is the shortest that goes the same way."""

LANGUAGES = {"python", "sh", "text"}
"""Of blocks: what is run, and what is only to be read."""


def in_short(code: str) -> str:
    """A snippet with short budgets."""
    for long, short in SHORTER:
        code = long.sub(short, code)
    return code


def run_python(example: Example) -> None:
    """In the names of its page."""
    code = "\n" * example.line + in_short(example.parsed)  # so that a traceback names the line of the page
    exec(compile(code, example.path, "exec"), example.namespace)


def run_shell(example: Example) -> None:
    """Line by line; `snt-zoo` in this process, which has imported it already."""
    from snt_zoo.cli.main import main

    for line in in_short(example.parsed).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["snt-zoo"]:
            result = CliRunner().invoke(main, words[1:], prog_name="snt-zoo")
            assert result.exit_code == 0, f"{example.path}: {line}\n{result.output}"
        elif words:
            subprocess.run(["bash", "-ec", line], check=True)


SYBIL = Sybil([CodeBlockParser("python", run_python), CodeBlockParser("sh", run_shell), SkipParser()])


def documents() -> Iterator[tuple[Path, Document]]:
    for page in PAGES:
        document = SYBIL.parse(page)
        if list(document.examples()):
            yield page, document


DOCUMENTS = dict(documents())


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with the starter zoo; not to be changed."""
    from snt_zoo import Zoo

    home = tmp_path_factory.mktemp("seeded") / "home"
    Zoo.open(home)
    return home


@pytest.fixture
def place(tmp_path: Path, seeded: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a page: real images, a registry of its own."""
    shutil.copytree(seeded, tmp_path / "home")
    samples = np.load(ROOT / "tests" / "samples" / "textile_sim.npz")
    for i, label in enumerate(samples["train_labels"].flat):
        for dataset, pixels in (
            ("photos", samples["train_images"][i]),
            ("new", samples["train_images"][i][::-1]),
        ):
            folder = tmp_path / dataset / str(samples["class_names"][label])
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    (tmp_path / "inbox").mkdir()
    for name in ("new.jpg", "other.png", "inbox/one.png"):
        Image.fromarray(samples["train_images"][0]).save(tmp_path / name)
    monkeypatch.setenv("SNT_ZOO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SNT_ZOO_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_snippets_of_a_page_run(page: Path, place: Path) -> None:
    for example in DOCUMENTS[page].examples():
        with contextlib.suppress(SkipTest):
            example.evaluate()


def test_a_snippet_that_is_not_run_says_why() -> None:
    for page in PAGES:
        for comment in re.findall(r"<!-- skip.*", page.read_text(encoding="utf-8")):
            assert re.fullmatch(r'<!-- skip: next "\w.+" -->', comment), f"{page}: {comment}"


def test_no_snippet_hides_under_another_language() -> None:
    """A block of another language would not be run."""
    for page in PAGES:
        fences = re.findall(r"^ *```(\S*)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert set(fences[::2]) <= LANGUAGES, page


def test_budgets_become_short() -> None:
    assert in_short("snt-zoo finetune photos/ --budget 10m") == "snt-zoo finetune photos/ --budget 2s"
    assert in_short('zoo.finetune("auto", data, budget="1h")') == 'zoo.finetune("auto", data, budget="2s")'
    assert in_short("snt-zoo pretrain a/ b/ --epochs 60 --add") == "snt-zoo pretrain a/ b/ --epochs 1 --add"
