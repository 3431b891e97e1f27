"""Versions, aliases, tags, verify, gc, limit and checkout from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from .conftest import answer, invoke, reason


@pytest.fixture
def own(pretrained: tuple[Path, Any], tmp_path: Path) -> tuple[Path, str]:
    """A registry of one's own with the tiny supernet, and its id."""
    home = Path(shutil.copytree(pretrained[0], tmp_path / "home"))
    return home, pretrained[1]["id"]


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


def test_tags_and_filters(own: tuple[Path, str]) -> None:
    home, id = own
    assert answer("tag", "tiny", "--add", "mine", "--remove", "small", "--home", home) == {
        "id": id,
        "tags": ["mine"],
    }
    assert "mine" in invoke("tag", "tiny", "--home", home).stdout
    row = answer("list", "--home", home)[0]
    accuracy = row["test_accuracy"]
    kept = (
        ("--tag", "mine"), ("--source", "photos"), ("--source", "phot*"),
        ("--licence", row["licence"].upper()),
        ("--min-accuracy", accuracy), ("--max-size", row["size"]), ("--name", "tiny"),
        ("--metric", f"test_accuracy>={accuracy}", "--metric", "test_accuracy<=1"),
    )  # fmt: skip
    dropped = (
        ("--tag", "small"), ("--source", "other"), ("--licence", "no"), ("--max-size", row["size"] - 1),
        ("--name", "x"), ("--metric", f"test_accuracy>={accuracy + 0.01}"), ("--metric", "nothing>=0"),
    )  # fmt: skip
    for options in kept:
        assert [r["id"] for r in answer("list", *options, "--home", home)] == [id], options
    for options in dropped:
        assert answer("list", *options, "--home", home) == [], options
    for wrong in ("accuracy", "a>1", "a>=x", "a>=1.2.3"):
        assert "val_accuracy>=0.8" in reason(invoke("list", "--metric", wrong, "--home", home), 2)


def test_lineage_is_shown(own: tuple[Path, str]) -> None:
    home, id = own
    found = answer("lineage", "tiny", "--home", home)
    assert (found["id"], found["ancestors"], found["children"]) == (id, [], [])
    assert found["seed"] == 0 and found["sources"][0]["name"] == "photos"
    for text in (id, "photos", found["sources"][0]["fingerprint"]):
        assert text in invoke("lineage", id, "--home", home).stdout
    shown = invoke("show", id, "--home", home).stdout
    for name in ("parent", "seed", "code_version", "fingerprints"):
        assert name in shown


def test_checkout_and_add(own: tuple[Path, str], tmp_path: Path) -> None:
    home, id = own
    out = answer("checkout", "tiny@latest", tmp_path / "out", "--home", home)
    assert out == {"id": id, "out": str(tmp_path / "out")}
    assert "choose another" in reason(invoke("checkout", id, tmp_path / "out", "--home", home))
    other = tmp_path / "other"
    added = answer("add", tmp_path / "out", "--alias", "best", "--tag", "copy", "--home", other)
    assert (added["id"], added["aliases"]) == (id, ["best", "latest"]) and "copy" in added["tags"]


def test_verify_exits_with_1_until_it_is_repaired(own: tuple[Path, str]) -> None:
    home, id = own
    assert answer("verify", "--home", home) == {"ok": True, "bundles": 1, "problems": []}
    card = home / "bundles" / id / "README.md"
    text = card.read_bytes()
    card.unlink()
    result = invoke("verify", "tiny", "--home", home, "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert not document["ok"] and document["problems"][0]["where"] == id
    assert result.stderr.splitlines()[-1].startswith("error: 1 problems") and "--repair" in result.stderr
    told = invoke("verify", "--home", home)
    assert told.exit_code == 1 and "README.md" in told.stdout
    assert answer("verify", "--repair", "--home", home)["ok"]
    assert card.read_bytes() == text
    assert "all is well" in invoke("verify", "--home", home).stderr


def test_a_catalog_that_cannot_be_read_is_made_anew(own: tuple[Path, str]) -> None:
    home, id = own
    for path in home.glob("catalog.sqlite*"):
        path.write_bytes(b"this is no database, and long enough to be looked at" * 100)
    for command in (("list",), ("verify",)):
        assert "snt-zoo verify --repair" in reason(invoke(*command, "--home", home))
    assert answer("verify", "--repair", "--home", home)["ok"]
    assert [row["id"] for row in answer("list", "--home", home)] == [id]


def test_gc_says_what_it_would_do(own: tuple[Path, str]) -> None:
    home, _ = own
    stray = home / "blobs" / "sha256" / "ab" / ("ab" * 32)
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"x")
    plan = answer("gc", "--dry-run", "--home", home)
    assert plan["dry_run"] and plan["blobs"] == ["ab" * 32] and stray.exists()
    assert "would be deleted" in invoke("gc", "--dry-run", "--home", home).stdout
    assert answer("gc", "--home", home)["blobs"] == ["ab" * 32] and not stray.exists()
    assert answer("gc", "--home", home)["blobs"] == []


def test_a_limit_is_kept(own: tuple[Path, str], pretrained: tuple[Path, Any]) -> None:
    home, id = own
    used = answer("limit", "--home", home)
    assert used["limit"] is None is used["room"] and used["bytes"] > 0
    assert answer("limit", "1k", "--home", home) == {"bytes": used["bytes"], "limit": 1000, "room": 0}
    assert answer("limit", "--home", home)["limit"] == 1000
    answer("remove", id, "--yes", "--home", home)
    assert "snt-zoo limit SIZE" in reason(invoke("add", pretrained[1]["out"], "--home", home))
    assert answer("limit", "none", "--home", home)["limit"] is None
    assert answer("add", pretrained[1]["out"], "--home", home)["id"] == id
    assert "none" in invoke("limit", "--home", home).stdout
    reason(invoke("limit", "much", "--home", home), 2)
