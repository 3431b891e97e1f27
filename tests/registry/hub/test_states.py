"""What was fetched has the hash of the repository's tree."""

from __future__ import annotations

import pytest

from snt_zoo.errors import IntegrityError
from snt_zoo.registry.hub.origins import Origins
from tests.registry.conftest import Zoos
from tests.registry.hub.repositories import MODEL, REPO, Files
from tests.registry.hub.state import Hub


@pytest.mark.parametrize("name", [MODEL, "config.json", "dataset.safetensors", "manifest.json", "card.md"])
def test_a_blob_corrupted_at_equal_size_is_refused(name: str, hub: Hub, zoo: Zoos, uploaded: Files) -> None:
    commit = hub.seed(REPO, uploaded)
    hub.corrupt.add(name)
    with pytest.raises(IntegrityError, match=rf"{name} must have .* by the repository's tree"):
        zoo().pull(REPO)
    assert zoo().list() == [] and Origins(zoo().registry.home).get("shapes") is None
    assert zoo().hub.cached(REPO, commit, name) is None  # nobody else shall load it from there
    hub.corrupt.clear()
    assert zoo().pull(REPO).added
