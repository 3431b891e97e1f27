"""Which bundle a person means."""

from __future__ import annotations

import pytest

from snt_zoo.errors import NotInRegistryError
from snt_zoo.registry import Record, Registry
from snt_zoo.registry.catalog.naming import resolve, resolve_version

NAMES = [
    ("leaves-00000000", "leaves"),
    ("letters-11111111", "letters"),
    ("letters-12222222", "letters"),
    ("letters-13333333.old-4444444f", "letters-13333333.old"),
    ("let-55555555", "let"),
]


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("letters-11111111", "letters-11111111"),
        ("letters-11", "letters-11111111"),
        ("lea", "leaves-00000000"),
        ("leaves", "leaves-00000000"),
        ("let", "let-55555555"),  # a name comes before the start of others
    ],
)
def test_what_a_prefix_means(prefix: str, found: str) -> None:
    assert resolve(prefix, NAMES) == found


@pytest.mark.parametrize(
    ("prefix", "hint"),
    [
        ("letters", "fits 2 supernets: letters-11111111, letters-12222222"),
        ("letters-1", "fits 3 supernets"),
        ("le", "fits 5 supernets"),
        ("leafes", "did you mean leaves"),
        ("leters-11111111", "letters-11111111"),
        ("zzz", "snt-zoo list"),
        ("", "snt-zoo list"),
        ("../leaves-00000000", "no supernet"),
        ("\x1b[2J", r"\\x1b\[2J"),
    ],
)
def test_what_a_prefix_does_not_mean(prefix: str, hint: str) -> None:
    with pytest.raises(NotInRegistryError, match=hint) as caught:
        resolve(prefix, NAMES)
    assert str(caught.value).isprintable()


def test_a_digest_names_a_version(registry: Registry, versions: list[Record]) -> None:
    for record in versions:
        for length in (6, 8, 64):
            assert registry.resolve(f"shapes@{record.digest[:length]}") == record.id
    for text, hint in [
        ("shapes@", "no supernet 'shapes@'"),
        ("shapes@zzz", "there are shapes@latest"),
        ("nothing@latest", "snt-zoo list"),
        ("shap@latest", "no supernet has that name"),
        ("shapes@latest@x", "no supernet"),
        ("\ud800", "no supernet"),
        ("shapes@\ud800", "no supernet"),
        ("a\x00b", "no supernet"),
    ]:
        with pytest.raises(NotInRegistryError, match=hint) as caught:
            registry.resolve(text)
        assert str(caught.value).isprintable()
    with pytest.raises(NotInRegistryError, match=r"fits 3 supernets.*shapes@latest"):
        registry.resolve("shapes")


def test_an_alias_comes_before_a_digest_and_half_a_digest_must_be_one() -> None:
    digests = {"abc1": "x-1", "abd2": "x-2"}
    assert resolve_version("x", "abc", {}, digests) == "x-1"
    assert resolve_version("x", "abc", {"abc": "x-2"}, digests) == "x-2"
    with pytest.raises(NotInRegistryError, match="fits 2 versions: x-1, x-2"):
        resolve_version("x", "ab", {}, digests)
