"""`config.json`: what it gives back, and what is refused with the field's name."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_zoo.errors import ConfigError
from snt_zoo.formats.strict_json import parse_json
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import count_parameters
from snt_zoo.registry import BundleConfig, Registry, read_bundle, read_header
from snt_zoo.registry.bundle.model_card import model_card
from snt_zoo.registry.bundle.schema import GenotypeEntry, NetworkEntry
from snt_zoo.registry.starter import starter_bundles
from tests.registry.bundle.refusals import Case, check_refused, set_config_text, set_field
from tests.registry.making import (
    ENCODER,
    HEADS,
    config_data,
    edit_config,
    generalist,
    make_bundle,
    network,
    remanifest,
    source,
)

REFUSED = {
    "unknown field": Case(
        set_field("trust_remote_code", value=True),
        ConfigError,
        ("config.json", "trust_remote_code", "remove it"),
    ),
    "config of a newer format": Case(set_field("format_version", value=2), ConfigError, ("upgrade snt-zoo",)),
    "config with a duplicate key": Case(
        set_config_text('"dtype"', '"params": 1, "params": 2, "dtype"'),
        ConfigError,
        ("config.json", "'params'", "twice"),
    ),
    "config with NaN": Case(set_config_text("0.75", "NaN"), ConfigError, ("config.json", "NaN")),
    "config with infinity": Case(set_config_text("0.75", "1e999"), ConfigError, ("config.json", "1e999")),
    "config with a wrong type": Case(
        set_field("network", "num_classes", value="3"), ConfigError, ("network.num_classes", "'3'")
    ),
    "config for a million channels": Case(
        set_field("network", "hyperparameters", "channels", value=10**6), ConfigError, ("network", "channels")
    ),
    "config in Latin-1": Case(
        lambda f: ((f / "config.json").write_bytes(b'{"a": "\xe9"}'), remanifest(f)),
        ConfigError,
        ("config.json",),
    ),
    "config nested deeply": Case(
        lambda f: ((f / "config.json").write_text("[" * 200_000), remanifest(f)),
        ConfigError,
        ("config.json", "nested"),
    ),
    "config that is a list": Case(
        lambda f: ((f / "config.json").write_text("[]"), remanifest(f)),
        ConfigError,
        ("config.json", "object"),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_and_the_registry_stays(what: str, good: Path, registry: Registry) -> None:
    check_refused(REFUSED[what], good, registry)


def test_config_gives_back_the_network_and_the_genotype(good: Path) -> None:
    bundle = read_bundle(good)
    net = network()
    assert bundle.config.network.to_network().to_json() == net.config.to_json()
    assert NetworkEntry.of(net.config) == bundle.config.network
    assert bundle.config.genotype.to_genotype() == net.genotype()
    assert GenotypeEntry.of(net.genotype()) == bundle.config.genotype
    assert bundle.config.params == count_parameters(DerivedModel.inherit(net))
    assert bundle.config.macs < bundle.config.supernet_macs
    assert BundleConfig.from_bytes(bundle.config.to_bytes()) == bundle.config
    assert bundle.config.metrics.model_extra == {"seconds_per_image": 0.5}
    assert bundle.config.training.recipe == {"lr": 0.1, "batch": 32, "nesterov": True, "schedule": "cosine"}


def test_texts_of_the_world_are_kept(tmp_path: Path) -> None:
    names = ["日本語", "नहीं \u200d", "a|b <i>*x*</i>"]
    folder = make_bundle(tmp_path / "b", class_names=names, description="Two\nlines: “ok”")
    config, _, _ = read_header(folder)
    assert list(config.class_names) == names
    assert config.description == "Two\nlines: “ok”"


def test_a_wrong_field_deep_inside_is_named() -> None:
    net = network()
    for change, path in [
        ({"datasets": [source(train_images=0)]}, "training.datasets.0.train_images"),
        ({"datasets": []}, "training.datasets"),
        ({"date": "yesterday"}, "training.date"),
        ({"recipe": {"lr": [1]}}, "training.recipe.lr"),
        ({"recipe": {"lr": float("inf")}}, "training.recipe.lr"),
        ({"seconds": -1.0}, "training.seconds"),
    ]:
        data = config_data(net)
        data["training"] = {**data["training"], **change}
        with pytest.raises(ConfigError, match=path.replace(".", r"\.")):
            BundleConfig.from_data(data)
    for change, reason in [
        ({"space": "mars"}, "no search space 'mars'"),
        ({"hyperparameters": {"channels": 10**6}}, "channels must be a whole number from 1 to 256"),
        ({"hyperparameters": {"channels": 2}}, "lack cells_per_stage, stem_stride"),
        ({"hyperparameters": {"wings": 2}}, "has no hyperparameter 'wings'"),
        ({"input_size": 4}, "network.input_size"),
        ({"normalisation": {"mean": [0.5] * 3, "std": [0.5, 0.0, 0.5]}}, "standard deviation above 0"),
    ]:
        data = config_data(net)
        data["network"] = {**data["network"].model_dump(), **change}
        with pytest.raises(ConfigError, match=reason):
            BundleConfig.from_data(data)
    assert config_data(net)["encoder"] == ENCODER


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["nas_bench_201", "darts", "float16", "\ud800", "1e999", "NaN", "../x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def paths(data: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [prefix] if prefix else []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        found += paths(value, (*prefix, key))
    return found


GOOD_CONFIG: dict[str, Any] = json.loads(BundleConfig.from_data(config_data(network())).to_bytes())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_fuzzed_fields_of_a_config(data: st.DataObject) -> None:
    config = copy.deepcopy(GOOD_CONFIG)
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(paths(config)))
        parent = config
        for key in path:
            parent = parent[key]
        if data.draw(st.booleans()):
            parent[last] = data.draw(_JSON)
        elif isinstance(parent, dict):
            parent[data.draw(st.text(max_size=4))] = parent.pop(last)
    check_config(json.dumps(config).encode())


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.binary(max_size=12), st.integers(0, 40))
def test_fuzzed_bytes_of_a_config(position: int, replacement: bytes, removed: int) -> None:
    raw = json.dumps(GOOD_CONFIG).encode()
    position %= len(raw)
    check_config(raw[:position] + replacement + raw[position + removed :])


def check_config(raw: bytes) -> None:
    try:
        config = BundleConfig.from_bytes(raw)
    except ConfigError as error:
        message = str(error)
        assert message.startswith("config.json") and "\n" not in message and message.isprintable()
    else:
        assert BundleConfig.from_bytes(config.to_bytes()) == config


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_as_json(raw: bytes) -> None:
    try:
        assert isinstance(parse_json(raw, what="x", limit=50), dict)
    except ConfigError as error:
        assert len(str(error)) < 300


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    bundle = read_bundle(generalist(tmp_path / "bundle"))
    assert bundle.supernet.config.heads == bundle.config.network.heads == HEADS
    assert [entry.val_accuracy for entry in bundle.config.training.datasets] == [0.5, 0.6]
    assert BundleConfig.from_bytes(bundle.config.to_bytes()) == bundle.config


def test_bundles_of_one_head_keep_their_bytes() -> None:
    for folder in starter_bundles():
        raw = (folder / "config.json").read_bytes()
        assert BundleConfig.from_bytes(raw).to_bytes() == raw
        assert (folder / "README.md").read_text("utf-8") == model_card(BundleConfig.from_bytes(raw))


@pytest.mark.parametrize(
    ("heads", "reason"),
    [
        ([4, 3], r"network\.heads must be the classes of training\.datasets"),
        ([7], r"network\.heads must be the classes of training\.datasets"),
        ([3, 3], "with the sum num_classes = 7"),
        ([8, -1], "greater than or equal to 2"),
        ([6, 1], "greater than or equal to 2"),
        ([2] * 300, "at most 256"),
        ("33", "heads"),
        ([3.5, 3.5], "heads"),
    ],
)
def test_heads_that_do_not_fit_are_refused(tmp_path: Path, heads: Any, reason: str) -> None:
    folder = generalist(tmp_path / "bundle")
    edit_config(folder, lambda data: data["network"].update(heads=heads))
    with pytest.raises(ConfigError, match=reason):
        read_bundle(folder)


@pytest.mark.parametrize("value", [1.5, -0.1, "0.5", float("nan")])
def test_an_accuracy_of_a_source_is_a_share(tmp_path: Path, value: Any) -> None:
    folder = generalist(tmp_path / "bundle")
    edit_config(folder, lambda data: data["training"]["datasets"][1].update(val_accuracy=value))
    with pytest.raises(ConfigError):
        read_bundle(folder)


def test_the_heads_may_be_left_out(tmp_path: Path) -> None:
    """As in bundles of several sources from before, whose classes competed in one softmax."""
    folder = generalist(tmp_path / "bundle")
    edit_config(folder, lambda data: data["network"].pop("heads"))
    assert read_bundle(folder).supernet.config.heads == ()
    assert "heads" not in json.loads((folder / "config.json").read_text("utf-8"))["network"]
