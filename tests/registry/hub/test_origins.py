"""Where bundles were pulled from."""

from __future__ import annotations

from pathlib import Path

from tests.registry.conftest import Clients, Zoos
from tests.registry.hub.repositories import Files
from tests.registry.hub.state import Hub
from tests.registry.making import make_bundle


def test_many_pulls_at_once_keep_every_origin(
    hub: Hub, client: Clients, zoo: Zoos, tmp_path: Path, uploaded: Files
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for number in range(4):
        bundle = make_bundle(tmp_path / f"b{number}", seed=number, name=f"n{number}")
        files = {path.name: path.read_bytes() for path in bundle.iterdir()}
        hub.seed(f"alice/n{number}", files)
    zoos = [zoo() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        pulled = list(pool.map(lambda i: zoos[i].pull(f"alice/n{i % 4}"), range(8)))
    assert sum(one.added for one in pulled) == 4 and len(zoo().list()) == 4
    for one in pulled:
        origin = zoo().origin(one.id or "")
        assert origin is not None and origin.repo == one.repo
