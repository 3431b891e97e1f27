"""`dataset.safetensors`: what is no sketch of the bundle's backbone is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_zoo.errors import ConfigError, SntZooError, TensorError
from snt_zoo.formats.tensor_file import load_tensors
from snt_zoo.registry import Registry
from snt_zoo.registry.bundle.sketch_file import load_sketches
from tests.registry.bundle.refusals import DATASET, MODEL, Case, check_refused, set_field, set_metadata
from tests.registry.making import BACKBONE, edit_tensors

REFUSED = {
    "config of another backbone": Case(
        set_field("backbone", value="other"), ConfigError, (DATASET, "backbone", "other")
    ),
    "sketch with NaN": Case(
        lambda f: edit_tensors(f, DATASET, lambda t: t["0.means"].view(-1)[:1].fill_(float("nan"))),
        TensorError,
        (DATASET, "sketch 0", "means"),
    ),
    "sketch without means": Case(
        lambda f: edit_tensors(f, DATASET, lambda t: t.pop("0.means")), TensorError, (DATASET, "sketch 0")
    ),
    "sketch with single numbers": Case(
        lambda f: edit_tensors(f, DATASET, lambda t: t.update({"0.samples": torch.tensor(1.0)})),
        TensorError,
        (DATASET, "sketch 0"),
    ),
    "tensor of no sketch": Case(
        lambda f: edit_tensors(f, DATASET, lambda t: t.update({"00.means": t["0.means"].clone()})),
        TensorError,
        (DATASET, "00.means"),
    ),
    "sketch of another name": Case(
        set_metadata(lambda m: m.update({"sketch.01": m["sketch.0"]})), TensorError, (DATASET, "metadata")
    ),
    "sketch with duplicate keys": Case(
        set_metadata(lambda m: m.update({"sketch.0": m["sketch.0"].replace("{", '{"name": "x", ')})),
        ConfigError,
        (DATASET, "sketch 0", "twice"),
    ),
    "sketch with a control character": Case(
        set_metadata(lambda m: m.update({"sketch.0": m["sketch.0"].replace("class 0", "\\u001b[2J")})),
        ConfigError,
        (DATASET, "sketch 0", "control character"),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_and_the_registry_stays(what: str, good: Path, registry: Registry) -> None:
    check_refused(REFUSED[what], good, registry)


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from([MODEL, "dataset.safetensors"]), data=st.data())
def test_fuzzed_bytes_of_a_tensor_file(_good: Path, name: str, data: st.DataObject) -> None:
    raw = bytearray((_good / name).read_bytes())
    length = 8 + int.from_bytes(raw[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        # The header is what is parsed; a few bytes of the data, too.
        position = data.draw(st.integers(0, min(len(raw), length + 16) - 1))
        raw[position : position + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    try:
        tensors, _ = load_tensors(bytes(raw), what=name, limit=2_000_000)
        assert all(isinstance(t, torch.Tensor) for t in tensors.values())
        if name != MODEL:
            load_sketches(bytes(raw), backbone=BACKBONE)
    except SntZooError as error:
        assert str(error).isprintable()
