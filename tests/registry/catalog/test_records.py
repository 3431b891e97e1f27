"""What a record says of its bundle."""

from __future__ import annotations

from pathlib import Path

from snt_zoo.registry import Registry
from tests.registry.making import config_data, make_bundle, network, sketch, source


def test_several_sources_are_listed(tmp_path: Path, registry: Registry) -> None:
    training = config_data(network())["training"] | {"datasets": [source("a"), source("b")]}
    folder = make_bundle(
        tmp_path / "b", training=training, sketches=[sketch(seed=1, name="a"), sketch(seed=2, name="b")]
    )
    record = registry.add(folder)
    assert record.sources == ("a", "b")
    assert len(registry.sketches(record.id)) == 2
    assert registry.rebuild_index() == 4
