"""Tags: words by which bundles are found; a bundle has its author's, and a registry can differ."""

from __future__ import annotations

import re
from collections.abc import Iterable

from snt_zoo.errors import AliasError

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def check_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags themselves; raises `AliasError` for one that a bundle's config could not hold."""
    found = tuple(tags)
    for tag in found:
        if not _TAG.fullmatch(tag):
            raise AliasError(
                f"{ascii(tag)[:80]} is no tag: use up to 64 letters, digits, '.', '_' and '-', the first a "
                "letter or a digit"
            )
    return found
