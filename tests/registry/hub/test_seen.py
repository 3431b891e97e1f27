from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from snt_zoo.registry import Record, read_bundle
from snt_zoo.registry.catalog.records import Candidate
from snt_zoo.registry.hub.seen import RemoteRecord


def test_a_supernet_on_the_hub_is_told_as_it_would_be_here(good: Path) -> None:
    bundle = read_bundle(good)
    own = {"id": bundle.id, "digest": bundle.digest}
    there = RemoteRecord.of(bundle.config, **own, repo="alice/shapes", commit="0" * 40)
    here = Record.of(bundle.config, **own, encoder="e", added_at="", path=good)
    for field in fields(Candidate):
        assert getattr(there, field.name) == getattr(here, field.name)
