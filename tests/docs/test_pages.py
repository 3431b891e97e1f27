"""What the pages name is there: files, modules, pages that the code cites, decisions; and the site builds."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_snippets import PAGES, ROOT

TREES = ("benchmarks", "docs", "snt_zoo", "tests", "zoo")
DECISION = re.compile(r"^## (\d+)\. ", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_commands_of_the_repository_are_there(page: Path) -> None:
    for code in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")):
        if re.fullmatch(rf"(?:{'|'.join(TREES)})/[\w./-]*", code):
            assert (ROOT / code).exists(), f"{page}: {code}"
        for module in re.findall(r"-m ((?:benchmarks|zoo)[\w.]*)", code):
            assert importlib.util.find_spec(module), f"{page}: {code}"


def test_pages_and_decisions_that_the_code_cites_are_there() -> None:
    numbers = DECISION.findall((ROOT / "docs" / "decisions.md").read_text(encoding="utf-8"))
    assert len(numbers) == len(set(numbers))
    cited = [path for tree in TREES if tree != "docs" for path in (ROOT / tree).rglob("*.py")]
    for path in cited:
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"docs/[\w/-]+\.md", text):
            assert (ROOT / name).is_file(), f"{path} cites {name}"
        for entries in re.findall(r"docs/decisions\.md, ([\d, and]+)", text):
            assert set(re.findall(r"\d+", entries)) <= set(numbers), f"{path} cites {entries}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 700


def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in tmp_path.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(?:https?:)?//', text), page
    from snt_zoo import __all__

    reference = (tmp_path / "reference" / "python.html").read_text(encoding="utf-8")
    for name in set(__all__) - {"__version__"}:
        assert f'id="snt_zoo.{name}"' in reference, f"{name} is not in the reference"
