"""Public names that are imported when they are first used."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import snt_zoo
import snt_zoo.registry
from snt_zoo.exports import exports


@pytest.mark.parametrize("package", [snt_zoo, snt_zoo.registry])
def test_every_public_name_is_there(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]
    assert all(getattr(package, name) is not None for name in names)
    assert dir(package) == sorted(names)


def test_a_name_comes_from_its_module() -> None:
    get, names = exports("shop", {"Decimal": "decimal"}, "price")
    assert get("Decimal") is importlib.import_module("decimal").Decimal and names() == ["Decimal", "price"]
    with pytest.raises(AttributeError, match="module 'shop' has no attribute 'Fraction'"):
        get("Fraction")


def test_the_packages_load_no_torch() -> None:
    code = "import sys, snt_zoo, snt_zoo.registry; print('torch' in sys.modules, 'pydantic' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "False False\n"
