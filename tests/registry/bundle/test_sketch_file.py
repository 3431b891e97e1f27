"""`dataset.safetensors`: what is no sketch of the bundle's backbone is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_zoo.errors import ConfigError, SntZooError, TensorError
from snt_zoo.formats.tensor_file import load_tensors
from snt_zoo.registry import BundleConfig, Registry
from snt_zoo.registry.bundle.folder import MAX_SKETCHED_CLASSES
from snt_zoo.registry.bundle.sketch_file import check_sketches, dump_sketches, load_sketches
from tests.registry.bundle.refusals import DATASET, MODEL, Case, check_refused, set_field, set_metadata
from tests.registry.making import (
    BACKBONE,
    config_data,
    edit_config,
    edit_tensors,
    network,
    remanifest,
    sketch,
    source,
)


def test_equal_sketches_are_one_object_while_something_holds_them() -> None:
    one, other = sketch(seed=1), sketch(seed=2)
    (first, second) = load_sketches(dump_sketches([one, other]), backbone=None)
    (again,) = load_sketches(dump_sketches([other]), backbone=BACKBONE)
    assert again is second and first is not second
    with pytest.raises(ConfigError, match="made by the backbone"):
        load_sketches(dump_sketches([other]), backbone="other/gauss-64")
    renamed = load_sketches(dump_sketches([sketch(seed=2, name="others")]), backbone=None)
    assert renamed[0] is not second and renamed[0].name == "others"


def with_more_sketches(count: int) -> Callable[[Path], None]:
    """So that a supernet of one dataset is near everybody's."""

    def spoil(folder: Path) -> None:
        (folder / DATASET).write_bytes(dump_sketches([sketch(seed=seed) for seed in range(count)]))
        remanifest(folder)

    return spoil


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
    "more sketches than datasets": Case(
        with_more_sketches(40), ConfigError, (DATASET, "one sketch for each", "40")
    ),
    "a sketch of another name": Case(
        set_metadata(lambda m: m.update({"sketch.0": m["sketch.0"].replace("shapes", "faces")})),
        ConfigError,
        (DATASET, "'faces'", "'shapes'"),
    ),
    "a sketch of more classes": Case(
        lambda f: edit_config(f, lambda d: d["training"]["datasets"][0].update(classes=2)),
        ConfigError,
        (DATASET, "3 classes", "2"),
    ),
    "a sketch of more images": Case(
        lambda f: edit_config(f, lambda d: d["training"]["datasets"][0].update(train_images=89)),
        ConfigError,
        (DATASET, "90 images", "89"),
    ),
    "a sketch of fewer images": Case(
        lambda f: edit_config(f, lambda d: d["training"]["datasets"][0].update(train_images=91)),
        ConfigError,
        (DATASET, "90 images", "91"),
    ),
    "counts whose sum wraps around": Case(
        lambda f: edit_tensors(f, DATASET, lambda t: t["0.counts"].fill_(2**62)),
        ConfigError,
        (DATASET, "images", "90"),
    ),
    "more datasets than sketches": Case(
        lambda f: edit_config(
            f, lambda d: d["training"]["datasets"].append(d["training"]["datasets"][0] | {"name": "more"})
        ),
        ConfigError,
        (DATASET, "each of the 2"),
    ),
    "a sketch from far away": Case(
        lambda f: edit_tensors(f, DATASET, lambda t: t["0.means"].mul_(5000)),
        TensorError,
        (DATASET, "means of size", "do not use it"),
    ),
    "samples from far away": Case(
        lambda f: edit_tensors(f, DATASET, lambda t: t["0.samples"].fill_(60_000)),
        TensorError,
        (DATASET, "samples of size"),
    ),
    "covariances from far away": Case(
        lambda f: edit_tensors(f, DATASET, lambda t: t["0.roots"].mul_(5000)),
        TensorError,
        (DATASET, "covariances of size"),
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


def test_the_classes_of_all_sketches_are_bounded() -> None:
    """A class takes 138 bytes in a file and 6 KB in a query."""
    made = sketch(classes=1000)
    few = MAX_SKETCHED_CLASSES // 1000
    assert len(load_sketches(dump_sketches([made] * few), backbone=BACKBONE)) == few
    with pytest.raises(TensorError, match="may have 4,096 classes together, these have 5,000"):
        load_sketches(dump_sketches([made] * (few + 1)), backbone=BACKBONE)


def test_classes_that_no_sketch_holds_are_no_lie() -> None:
    """Those without an image for training, and the rarest beyond a thousand."""
    for classes, images in ((4, 90), (4, 95), (3, 90), (5000, 200_000)):
        data = config_data(network())
        data["training"]["datasets"] = [source(classes=classes, train_images=images)]
        check_sketches(BundleConfig.from_data(data), [sketch()])
