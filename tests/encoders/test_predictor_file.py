from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.encoders.predictor_file import load_predictor, save_predictor, shipped_predictor
from snt_zoo.errors import ConfigError, TensorError
from tests.encoders.making import random_sketch
from tests.encoders.test_predictor import NETWORKS, fitted


def test_a_file_says_the_same_and_one_that_was_changed_is_refused(
    tmp_path: Path,
) -> None:
    predictor = fitted()
    path = tmp_path / "predictor.safetensors"
    save_predictor(predictor, path)
    again = load_predictor(path)
    ask = random_sketch(5, seed=5), predictor.networks, [0.7] * NETWORKS
    for one, other in zip(predictor.predict(*ask) or [], again.predict(*ask) or [], strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert again.card == predictor.card and again.parents == predictor.parents
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'\\"format\\": 2', b'\\"format\\": 9'))
    with pytest.raises(ConfigError, match="train it again"):
        load_predictor(path)
    path.write_bytes(raw.replace(b"parent-1", b'parent"1'))
    with pytest.raises((ConfigError, TensorError)):
        load_predictor(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_predictor(tmp_path / "none")


def test_the_one_that_ships_can_be_read() -> None:
    found = shipped_predictor()
    assert found is not None and len(found.networks) >= 30 and len(set(found.parents)) >= 9
    assert found.bound < 4
