from __future__ import annotations

import pytest

from snt_zoo.data import open_dataset, register_reader
from snt_zoo.errors import UnknownComponentError


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'npz' is registered already"):
        register_reader("npz")(lambda ref, options: None)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("ref", ["foo:bar", "http://example.org/x.npz", "npz:x.npz"])
def test_an_unknown_prefix_lists_the_readers(ref: str) -> None:
    with pytest.raises(UnknownComponentError, match=r"there are .*hf:, .* and paths"):
        open_dataset(ref)
