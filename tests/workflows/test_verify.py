from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.errors import DamagedCatalogError, NotInRegistryError
from snt_zoo.workflows.verify import verify
from snt_zoo.zoo import Zoo
from tests.registry.making import make_bundle


def test_a_catalog_that_cannot_be_read_is_made_anew_from_the_bundles(tmp_path: Path) -> None:
    home = tmp_path / "home"
    zoo = Zoo.open(home, starter=False)
    id = zoo.add(make_bundle(tmp_path / "made")).id
    assert verify(home).ok and verify(home, id[:-4]).bundles == 1
    with pytest.raises(NotInRegistryError):
        verify(home, "nobody")
    for path in home.glob("catalog.sqlite*"):
        path.write_bytes(b"this is no database, and long enough to be looked at" * 100)
    with pytest.raises(DamagedCatalogError, match="--repair"):
        verify(home)
    assert verify(home, repair=True).ok
    assert [record.id for record in Zoo.open(home, starter=False).list()] == [id]
