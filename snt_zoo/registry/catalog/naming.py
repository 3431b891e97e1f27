"""Which bundle a person means by a few letters."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

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
        hint = f"give more of the id, or {prefix}@latest" if named else "give more of the id"
        raise NotInRegistryError(f"{prefix!r} fits {len(found)} supernets: {_few(found)}: {hint}")
    known = [*dict.fromkeys(name for _, name in names), *ids]
    close = difflib.get_close_matches(prefix, known, n=_SHOWN)
    hint = f"did you mean {_few(close)}?" if close else "see `snt-zoo list`"
    raise NotInRegistryError(f"no supernet {ascii(prefix)[:100]} in the registry: {hint}")


def resolve_version(name: str, version: str, aliases: Mapping[str, str], digests: Mapping[str, str]) -> str:
    """The id that `NAME@VERSION` means: an alias, or the start of one digest, in this order.

    Args:
        name: of the bundles.
        version: what a person wrote behind the `@`.
        aliases: of that name, with the id of each.
        digests: of the bundles of that name, with the id of each.

    Raises:
        NotInRegistryError: nothing fits, or several do.

    Example:
        >>> resolve_version("digits", "latest", {"latest": "digits-0a1b2c3d"}, {})
        'digits-0a1b2c3d'
    """
    if version in aliases:
        return aliases[version]
    found = sorted(id for digest, id in digests.items() if version and digest.startswith(version))
    if len(found) == 1:
        return found[0]
    shown = ascii(f"{name}@{version}")[:100]
    if found:
        raise NotInRegistryError(
            f"{shown} fits {len(found)} versions: {_few(found)}: give more of the digest"
        )
    known = [f"{name}@{alias}" for alias in sorted(aliases)] + sorted(digests.values())
    hint = f"there are {_few(known)}" if known else "no supernet has that name, see `snt-zoo list`"
    raise NotInRegistryError(f"no supernet {shown} in the registry: {hint}")


def _few(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
