"""Repositories of the tests, and who asks for them."""

from __future__ import annotations

from pathlib import Path

from snt_zoo.registry.hub.client import HubClient
from snt_zoo.zoo import Zoo
from tests.registry.hub.state import Hub
from tests.registry.making import make_bundle

REPO = "alice/shapes"
MODEL = "model.safetensors"
Files = dict[str, bytes]


def unreachable(home: Zoo, cache: Path | None) -> Zoo:
    """The same registry and cache without a network."""
    return Zoo(home.registry, hub=HubClient(endpoint="http://127.0.0.1:9", token=TOKEN, cache=cache))


BUNDLE = {"config.json", "model.safetensors", "dataset.safetensors", "manifest.json", "card.md"}


def commits(hub: Hub, repo: str = REPO) -> int:
    return len(hub.repos[repo].commits)


TOKEN = "hf_canaryAliceSecret0123456789"
OTHER_TOKEN = "hf_canaryBobSecret0123456789"
LIGHT = {"manifest.json", "config.json", "dataset.safetensors"}


CARD = b"---\ntags: [snt-zoo]\n---\n"


def repository(folder: Path, seed: int, **changes: object) -> dict[str, bytes]:
    """A repository's files; the sketch is of that seed."""
    made = make_bundle(folder / f"s{seed}", seed=seed, **{"name": f"s{seed}", **changes})
    files = {path.name: path.read_bytes() for path in made.iterdir()}
    return files | {"card.md": files["README.md"]}
