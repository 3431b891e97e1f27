"""What may stand in a bundle's folder: everything else is refused and not opened."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from snt_zoo.errors import ForbiddenFileError, MissingFileError
from snt_zoo.registry import Registry
from tests.registry.bundle.refusals import (
    AGAIN,
    MODEL,
    Case,
    Payload,
    _executed,
    as_folder,
    as_link,
    as_pipe,
    check_refused,
    with_file,
    with_folder,
    with_pickle,
    without,
)
from tests.registry.making import snapshot

REFUSED = {
    "missing model": Case(without(MODEL), MissingFileError, (MODEL, AGAIN)),
    "missing manifest": Case(without("manifest.json"), MissingFileError, ("manifest.json", AGAIN)),
    "missing card": Case(without("README.md"), MissingFileError, ("README.md", AGAIN)),
    "extra pickle": Case(with_pickle, ForbiddenFileError, ("'pytorch_model.bin'", "remove it")),
    "script": Case(with_file("modeling.py"), ForbiddenFileError, ("'modeling.py'",)),
    "hidden file": Case(with_file(".env"), ForbiddenFileError, ("'.env'",)),
    "name with control characters": Case(with_file("\x1b[2J.json"), ForbiddenFileError, (r"\x1b[2J",)),
    "name in capitals": Case(with_file("CONFIG.JSON"), ForbiddenFileError, ("'CONFIG.JSON'",)),
    "subfolder": Case(with_folder, ForbiddenFileError, ("'code'",)),
    "link": Case(as_link, ForbiddenFileError, (MODEL, "regular file")),
    "folder as card": Case(as_folder, ForbiddenFileError, ("README.md", "regular file")),
    "pipe as config": Case(as_pipe, ForbiddenFileError, ("config.json", "regular file")),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_and_the_registry_stays(what: str, good: Path, registry: Registry) -> None:
    check_refused(REFUSED[what], good, registry)


_opened: list[str] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        _opened.append(os.fspath(arguments[0]))


sys.addaudithook(_listen)


def test_what_is_forbidden_is_not_opened(good: Path, registry: Registry) -> None:
    with_pickle(good)
    as_link(good)
    _opened.clear()
    with pytest.raises(ForbiddenFileError):
        registry.add(good)
    assert any(str(registry.home) in path for path in _opened)  # the ear hears
    assert not [path for path in _opened if path.endswith((".bin", "elsewhere", MODEL))]


def test_a_link_that_comes_between_is_not_followed(
    good: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder was looked at, and then a file is exchanged for a link."""
    from snt_zoo.registry.store import store

    before = snapshot(registry)
    check = store.check_folder

    def check_and_exchange(folder: Path) -> None:
        check(folder)
        as_link(folder)

    monkeypatch.setattr(store, "check_folder", check_and_exchange)
    with pytest.raises(ForbiddenFileError, match=MODEL):
        registry.add(good)
    assert snapshot(registry) == before


def test_no_folder_at_all(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "file").write_text("x")
    for name in ("nothing", "file"):
        with pytest.raises(MissingFileError, match="expected a folder"):
            registry.add(tmp_path / name)


def test_the_canary_works() -> None:
    pickle.loads(pickle.dumps(Payload()))
    assert _executed.pop() == "boom"
