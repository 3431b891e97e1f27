"""What stands beside the package says what the package says."""

from __future__ import annotations

import ast
import importlib.metadata
import itertools
import re
import sys
from pathlib import Path

import pytest
import yaml

from snt_zoo import __version__

ROOT = Path(__file__).parents[1]


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    titles = re.findall(r"^## \[(.+?)\] - (unreleased|\d{4}-\d\d-\d\d)$", text, re.M)
    assert titles[0][0] == __version__
    assert [title for title in titles if title[1] == "unreleased"] in ([], titles[:1])


def test_the_citation_is_of_this_version_and_of_both_papers() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["version"] == __version__
    assert all({"type", "title", "authors"} <= paper.keys() for paper in citation["references"])
    assert [paper["doi"][-10:] for paper in citation["references"]] == ["2103.01495", "2407.20279"]


def test_contributors_are_told_of_files_and_names_that_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"`((?:snt_zoo|tests)/[^`]*)`|]\(([^)#]+)", text)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    names = re.findall(r"`@?(\w+)`", "\n".join(rows))
    assert len(paths) > 10 and len(names) > 10
    for path in paths:
        assert (ROOT / "".join(path)).exists(), path
    code = "\n".join(
        path.read_text() for room in ("snt_zoo", "tests") for path in (ROOT / room).rglob("*.py")
    )
    for name in names:
        assert re.search(rf"\b{name}\b", code), name


def test_what_is_imported_is_declared() -> None:
    """What only another package brings along can be gone with its next release."""
    tomllib = pytest.importorskip("tomllib")  # since Python 3.11
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[\[<>=~! ]", line)[0].lower().replace("_", "-") for line in lines}
    owners = importlib.metadata.packages_distributions()
    for path in (ROOT / "snt_zoo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in {name.partition(".")[0] for name in names} - {*sys.stdlib_module_names, "snt_zoo"}:
                known = {owner.lower().replace("_", "-") for owner in owners.get(name, [name])}
                assert known & declared, (
                    f"{path.relative_to(ROOT)} imports {name}: declare it in pyproject.toml"
                )
    (lock,) = [line for line in lines if line.startswith("filelock")]
    assert lock == "filelock>=3.20.3"  # earlier ones follow a link that somebody else put there
