"""`snt-zoo checkout`, `verify`, `gc` and `limit`."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from .conftest import answer, invoke, reason


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


def test_a_backup_is_a_registry_again(own: tuple[Path, str], tmp_path: Path) -> None:
    home, id = own
    done = answer("backup", tmp_path / "zoo.tar", "--home", home)
    assert (done["file"], done["bundles"], done["left_out"]) == (str(tmp_path / "zoo.tar"), 1, [])
    (tmp_path / "restored").mkdir()
    with tarfile.open(tmp_path / "zoo.tar") as tar:
        tar.extractall(tmp_path / "restored", filter="data")
    assert answer("verify", "--home", tmp_path / "restored")["ok"]
    assert answer("show", id, "--home", tmp_path / "restored")["id"] == id
    assert "name a new file" in reason(invoke("backup", tmp_path / "zoo.tar", "--home", home))
