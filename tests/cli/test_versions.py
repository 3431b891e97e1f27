"""`snt-zoo tag`, `alias`, `aliases`, `lineage`."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import answer, invoke, reason


def test_aliases_and_their_history(own: tuple[Path, str]) -> None:
    home, id = own
    moved = answer("alias", "tiny@best", "tiny@latest", "--why", "0.9", "--by", "ann", "--home", home)
    assert (
        moved == {"name": "tiny", "alias": "best", "id": id} == answer("alias", "tiny@best", "--home", home)
    )
    found = answer("aliases", "tiny", "--history", "--home", home)
    assert [(a["alias"], a["id"]) for a in found["aliases"]] == [("best", id), ("latest", id)]
    assert [(m["alias"], m["previous"], m["by"], m["why"]) for m in found["history"]][1:] == [
        ("best", None, "ann", "0.9")
    ]
    assert answer("show", "tiny@best", "--home", home)["aliases"] == ["best", "latest"]
    shown = invoke("aliases", "--history", "--home", home).stdout
    assert "tiny@best" in shown and "ann" in shown and found["history"][1]["digest"][:8] in shown
    assert answer("alias", "tiny@best", "--drop", "--home", home)["id"] is None
    assert "dropped" in invoke("alias", "tiny@latest", "--drop", "--home", home).stdout
    assert "snt-zoo alias" in invoke("aliases", "--home", home).stderr
    assert "no supernet" in reason(invoke("alias", "tiny@best", "--home", home))
    for wrong in (("tiny",), ("tiny@",), ("tiny@best", id, "--drop"), ("other@best", id)):
        reason(invoke("alias", *wrong, "--home", home), 2)
    assert "digest" in reason(invoke("alias", "tiny@beef", id, "--home", home))


def test_tags_are_added_and_removed(own: tuple[Path, str]) -> None:
    home, id = own
    assert answer("tag", "tiny", "--add", "mine", "--remove", "small", "--home", home) == {
        "id": id,
        "tags": ["mine"],
    }
    assert "mine" in invoke("tag", "tiny", "--home", home).stdout


def test_lineage_is_shown(own: tuple[Path, str]) -> None:
    home, id = own
    found = answer("lineage", "tiny", "--home", home)
    assert (found["id"], found["ancestors"], found["children"]) == (id, [], [])
    assert found["seed"] == 0 and found["sources"][0]["name"] == "photos"
    for text in (id, "photos", found["sources"][0]["fingerprint"]):
        assert text in invoke("lineage", id, "--home", home).stdout
    shown = invoke("show", id, "--home", home).stdout
    for text in ("seed ", "code ", found["sources"][0]["fingerprint"]):
        assert text in shown


@pytest.mark.parametrize("columns", [80, 120])
def test_versions_fit_the_terminal(columns: int, general: tuple[Path, str]) -> None:
    home, id = general
    lineage = invoke("lineage", id, "--home", home, columns=columns).stdout.splitlines()
    assert lineage[1].split()[:2] == ["this", id] and len(lineage) == 2
    history = invoke("aliases", "--history", "--home", home, columns=columns).stdout.splitlines()
    assert "  nb201-generalist-all@latest  " in history[4] and id[-8:] in history[4]
    assert history[5:] == [f"      why  {id} was added"]
    assert max(map(len, lineage + history)) <= columns
