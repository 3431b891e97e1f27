from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snt_zoo.errors import HubError
from snt_zoo.registry import Registry
from snt_zoo.registry.bundle.folder import FILE_LIMITS
from snt_zoo.registry.remote.registry import RemoteRegistry
from snt_zoo.service.app import create_app
from snt_zoo.workflows import share
from snt_zoo.zoo import Zoo
from tests.registry.making import make_bundle
from tests.service.making import GUARDED, READ, listening

HERE = SimpleNamespace(id="own-1", repo=None)
THERE = SimpleNamespace(id="s2-2", repo="alice/s2", commit="c0ffee")
ZOO: Any = SimpleNamespace(registry=SimpleNamespace(resolve=lambda text: f"{text}-full"))


@pytest.fixture
def pulled(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """The id that each repository holds; None for a derived model."""
    holds: dict[str, str | None] = {"alice/s2@c0ffee": "s2-2", "alice/s2": "s2-3", "alice/model": None}
    monkeypatch.setattr(share, "pull", lambda zoo, repo: SimpleNamespace(id=holds[repo]))
    return holds


def test_only_what_is_not_here_is_pulled(pulled: dict[str, str | None]) -> None:
    assert share.id_of(ZOO, HERE) == "own-1" and share.id_of(ZOO, "own") == "own-full"
    assert share.id_of(ZOO, THERE) == "s2-2"  # at the commit that was ranked
    assert share.id_of(ZOO, "alice/s2") == "s2-3"


def test_what_is_no_supernet_or_another_one_is_told(pulled: dict[str, str | None]) -> None:
    with pytest.raises(HubError, match="alice/model holds a derived model, not a supernet"):
        share.id_of(ZOO, "alice/model")
    pulled["alice/s2@c0ffee"] = "s2-9"
    with pytest.raises(HubError, match="holds s2-9 and not s2-2, which was seen there: run `snt-zoo sync`"):
        share.id_of(ZOO, THERE)


def test_a_supernet_of_a_service_comes_into_a_registry_here_or_a_folder(tmp_path: Path) -> None:
    served = Zoo(Registry.open(tmp_path / "served"))
    id = served.add(make_bundle(tmp_path / "shapes")).id
    here = tmp_path / "here"
    with pytest.MonkeyPatch.context() as patch, listening(create_app(served, GUARDED)) as url:
        patch.setattr("snt_zoo.registry.starter.starter_bundles", list)
        zoo = Zoo(RemoteRegistry.at(url, token=READ, cache=tmp_path / "cache"))
        first, again = share.take(zoo, "shapes", home=here), share.take(zoo, id, home=here)
        assert (first.id, first.added, again.added) == (id, True, False)
        assert (first.repo, first.commit) == (url, served.show(id).digest)
        assert Registry.open(here).get(id).digest == first.commit == again.commit
        out = share.take(zoo, id, out=tmp_path / "own").out
        assert sorted(path.name for path in out.iterdir()) == sorted(FILE_LIMITS)
