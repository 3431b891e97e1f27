from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snt_zoo.encoders.embedding import MOMENTS
from snt_zoo.errors import HubError, NotInRegistryError
from snt_zoo.workflows.shelves import check_excluded, seen_on_hub


def shelves(home: Path) -> Any:
    registry = SimpleNamespace(home=home, encoder=MOMENTS, knows=("digits", "nb201").__contains__)
    return SimpleNamespace(registry=registry, hub=SimpleNamespace(place="https://hub.example"))


def test_what_no_sync_has_seen_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="run `snt-zoo sync` once, or leave out --hub"):
        seen_on_hub(shelves(tmp_path))


def test_a_word_that_excludes_nothing_is_refused(tmp_path: Path) -> None:
    zoo = shelves(tmp_path)
    check_excluded(zoo, ["digits", "nb201"], None)
    with pytest.raises(NotInRegistryError, match="'leafy' is no tag, name or id"):
        check_excluded(zoo, ["digits", "leafy"], None)
    remote = SimpleNamespace(id="leaves-12345678", name="leaves", tags=("leafy",), licence=None)
    seen: Any = SimpleNamespace(list=lambda: [remote])
    check_excluded(zoo, ["digits", "leafy", "leaves"], seen)
    with pytest.raises(NotInRegistryError, match="'leafi' is no tag"):
        check_excluded(zoo, ["leafi"], seen)
