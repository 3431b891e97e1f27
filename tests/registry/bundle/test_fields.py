"""What a text, a name or a number of a config may be."""

from __future__ import annotations

from typing import Any

import pytest

from snt_zoo.errors import ConfigError
from snt_zoo.registry import BundleConfig
from tests.registry.making import config_data, network


def dated(text: str) -> dict[str, Any]:
    return {**config_data(network())["training"], "date": text}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"dtype": None}, "dtype"),
        ({"name": "Upper Case"}, "name"),
        ({"name": "../x"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"class_names": ["a", "b"]}, "class_names"),
        ({"class_names": ["a", "b", 3]}, "class_names.2"),
        ({"class_names": ["a", "b", "c\n"]}, "class_names.2"),
        ({"class_names": ["a", "b", "\u202ec"]}, "class_names.2"),
        ({"description": "\x1b[2J"}, "description"),
        ({"training": dated("2026-11-01\x1b12:00:00")}, "training.date"),
        ({"training": dated("2026-11-01\u202e12:00:00")}, "training.date"),
        ({"training": dated("2026-11-01\u061c12:00:00")}, "training.date"),
        ({"training": dated("2026-11-01\n12:00:00")}, "training.date"),
        ({"training": dated("2026-11-01\u200f12:00:00")}, "training.date"),
        ({"training": dated("\u0662026-11-01")}, "training.date"),
        ({"params": 1.0}, "params"),
        ({"params": True}, "params"),
        ({"macs": -1}, "macs"),
        ({"metrics": {"val_accuracy": 1.5, "test_accuracy": None}}, "metrics.val_accuracy"),
        ({"metrics": {"val_accuracy": 0.5}}, "metrics.test_accuracy"),
        ({"metrics": {"val_accuracy": 0.5, "test_accuracy": 0.5, "x": "y"}}, "metrics.x"),
        ({"metrics": {"val_accuracy": float("nan"), "test_accuracy": None}}, "metrics.val_accuracy"),
        ({"tags": ["a b"]}, "tags.0"),
        ({"format_version": 2}, "format_version"),
        ({"surprise": 1}, "surprise"),
        ({"encoder": ""}, "encoder"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], path: str) -> None:
    data = config_data(network(), **changes)
    with pytest.raises(ConfigError) as caught:
        BundleConfig.from_data(data)
    message = str(caught.value)
    assert message.startswith("config.json: ") and path in message
    assert "\n" not in message and message.isprintable()
