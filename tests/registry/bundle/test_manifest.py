"""A file that is not what the manifest lists is refused, and so is a manifest that is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snt_zoo.errors import ConfigError, IntegrityError
from snt_zoo.registry import Registry
from tests.registry.bundle.refusals import (
    AGAIN,
    DATASET,
    MODEL,
    Case,
    check_refused,
    flip,
    set_manifest,
    with_file,
)

REFUSED = {
    "flipped byte in the model": Case(flip(MODEL), IntegrityError, (MODEL, "sha256", AGAIN)),
    "flipped byte in the config": Case(flip("config.json", 9), IntegrityError, ("config.json", AGAIN)),
    "flipped byte in the sketches": Case(flip(DATASET), IntegrityError, (DATASET, AGAIN)),
    "flipped byte in the card": Case(flip("README.md"), IntegrityError, ("README.md", AGAIN)),
    "flipped byte in a header": Case(flip(MODEL, 20), IntegrityError, (MODEL, AGAIN)),
    "flipped byte in the manifest": Case(
        set_manifest(lambda m: m["files"][MODEL].update(sha256="0" * 64)),
        IntegrityError,
        (MODEL, "sha256", AGAIN),
    ),
    "cut off model": Case(lambda f: os.truncate(f / MODEL, 1000), IntegrityError, (MODEL, "1,000", AGAIN)),
    "manifest with a path out": Case(
        set_manifest(lambda m: m["files"].update({"../../x": m["files"]["README.md"]})),
        ConfigError,
        ("manifest.json", "../../x"),
    ),
    "manifest with an absolute path": Case(
        set_manifest(lambda m: m["files"].update({"/etc/passwd": m["files"].pop("README.md")})),
        ConfigError,
        ("manifest.json", "/etc/passwd"),
    ),
    "manifest with a backslash": Case(
        set_manifest(lambda m: m["files"].update({"..\\x": m["files"]["README.md"]})),
        ConfigError,
        ("manifest.json",),
    ),
    "manifest with a NUL": Case(
        set_manifest(lambda m: m["files"].update({"config.json\0": m["files"]["README.md"]})),
        ConfigError,
        ("manifest.json",),
    ),
    "manifest without a file": Case(
        set_manifest(lambda m: m["files"].pop(MODEL)), ConfigError, ("manifest.json", MODEL)
    ),
    "manifest with a bad hash": Case(
        set_manifest(lambda m: m["files"][MODEL].update(sha256="x")), ConfigError, ("manifest.json", "sha256")
    ),
    "manifest that is too long": Case(
        with_file("manifest.json", b" " * 10_001), IntegrityError, ("manifest.json",)
    ),
    "manifest with a surprise": Case(
        set_manifest(lambda m: m.update(run="sh")), ConfigError, ("manifest.json", "run")
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_and_the_registry_stays(what: str, good: Path, registry: Registry) -> None:
    check_refused(REFUSED[what], good, registry)
