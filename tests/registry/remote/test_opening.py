from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.errors import ServiceError
from snt_zoo.registry import Registry
from snt_zoo.registry.remote.opening import open_registry
from snt_zoo.registry.remote.registry import RemoteRegistry


def test_a_url_is_a_service_and_all_else_a_folder(tmp_path: Path) -> None:
    here = open_registry(tmp_path / "home", starter=False)
    assert type(here) is Registry and here.address == str(tmp_path / "home")
    there = open_registry("http://127.0.0.1:9/zoo/")
    assert isinstance(there, RemoteRegistry) and there.address == "http://127.0.0.1:9/zoo"


@pytest.mark.parametrize("text", ["ftp://zoo", "htp://127.0.0.1:8765", "://x"])
def test_an_address_of_another_kind_makes_no_folder(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ServiceError, match="write http://HOST:PORT, or a folder"):
        open_registry(text)
    assert not list(tmp_path.iterdir())
