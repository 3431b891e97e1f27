"""Which bundle a person means by a few letters."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from snt_zoo.errors import NotInRegistryError

_SHOWN = 5  # candidates in a message


def resolve(prefix: str, names: Sequence[tuple[str, str]]) -> str:
    """The id that is meant: an id, a name, or the start of one id, in this order.

    Args:
        prefix: what a person wrote.
        names: id and name of every bundle.

    Raises:
        NotInRegistryError: nothing fits, or several do; says which come close.

    Example:
        >>> resolve("dig", [("digits-0a1b2c3d", "digits")])
        'digits-0a1b2c3d'
    """
    ids = sorted(id for id, _ in names)
    if prefix in ids:
        return prefix
    named = sorted(id for id, name in names if name == prefix)
    found = named or [id for id in ids if prefix and id.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if found:
        raise NotInRegistryError(
            f"{prefix!r} fits {len(found)} supernets: {_few(found)}: give more of the id"
        )
    known = [*dict.fromkeys(name for _, name in names), *ids]
    close = difflib.get_close_matches(prefix, known, n=_SHOWN)
    hint = f"did you mean {_few(close)}?" if close else "see `snt-zoo list`"
    raise NotInRegistryError(f"no supernet {ascii(prefix)[:100]} in the registry: {hint}")


def _few(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
