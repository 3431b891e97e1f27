from __future__ import annotations

import json
import shutil
from pathlib import Path

from .conftest import invoke, reason


def test_skipped_images_are_told(photos: Path, home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "photos"
    shutil.copytree(photos, copy)
    (copy / "one" / "bad.png").write_bytes(b"no image")
    assert "bad.png" in reason(invoke("query", copy, "--home", home))
    result = invoke("query", copy, "--home", home, "--on-bad-image", "skip", "--json")
    assert result.exit_code == 0
    assert "left out 1 unreadable" in result.stderr
    assert json.loads(result.stdout)["matches"]
