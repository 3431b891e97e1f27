"""Who may do what: tokens, each with a role, in a file that only its owner may read.

A line is `ROLE TOKEN` or `ROLE TOKEN NAME`; the name stands in the trail of alias moves. No token ships
with the package, and none is made unless it is asked for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from snt_zoo.errors import ServiceError

Role = Literal["read", "write", "metrics"]
Scope = Literal["open", "read", "write", "metrics"]
"""What a route is about: `open` to everybody, else to those whose role covers it."""

COVERS: dict[Role, tuple[Scope, ...]] = {
    "read": ("open", "read"),
    "write": ("open", "read", "write"),
    "metrics": ("open", "metrics"),
}
"""What each role may do: who changes a registry has to read it; who measures it has not."""

_LINE = re.compile(r"(read|write|metrics)[ \t]+([A-Za-z0-9_.~+/=-]{32,512})(?:[ \t]+([\w.@-]{1,64}))?")
_LIMIT = 100_000  # bytes of the file


@dataclass(frozen=True)
class Holder:
    """Who showed a token.

    Args:
        role: of the token.
        name: that stands beside it in the file; the role where there is none.
    """

    role: Role
    name: str


@dataclass(frozen=True, repr=False)
class Tokens:
    """The tokens of a service, by the sha256 of each: they are not kept themselves.

    Args:
        holders: digests and whom they stand for.
    """

    holders: tuple[tuple[bytes, Holder], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.holders)

    def __repr__(self) -> str:
        return f"Tokens({len(self.holders)})"

    @classmethod
    def read(cls, path: Path) -> Tokens:
        """The tokens of a file.

        Raises:
            ServiceError: it cannot be read, others can read it, or a line is no token.
        """
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                raw = file.read(_LIMIT + 1)
        except OSError as error:
            raise ServiceError(
                f"cannot read the tokens in {path} ({error.strerror}): make them with `snt-zoo serve "
                f"--new-tokens {path}`"
            ) from error
        if os.name == "posix" and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ServiceError(f"others may read the tokens in {path}: run `chmod 600 {path}`")
        holders = []
        lines = raw.decode("utf-8", "replace").splitlines()
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            found = _LINE.fullmatch(line.strip())
            if found is None or len(raw) > _LIMIT:  # the line is not quoted: it may hold a token
                raise ServiceError(
                    f"{path}: line {number} must be `read TOKEN`, `write TOKEN` or `metrics TOKEN`, of 32 or "
                    "more letters and digits, with a name behind it if you like"
                )
            role: Role = found[1]  # type: ignore[assignment]  # the pattern has no others
            holders.append((digest_of(found[2]), Holder(role, found[3] or role)))
        if not holders:
            raise ServiceError(f"{path} holds no token: make some with `snt-zoo serve --new-tokens FILE`")
        return cls(tuple(holders))

    def holder(self, authorization: str) -> Holder | None:
        """Whose token a header shows, as `Bearer TOKEN`, or as `Basic` with the token for a password."""
        shown = digest_of(_shown(authorization))
        found = None
        for digest, holder in self.holders:  # all of them: how long it takes tells nothing
            if hmac.compare_digest(digest, shown):
                found = holder
        return found


def make_tokens(path: Path) -> None:
    """Write a file with a new token of each role, for its owner's eyes only.

    Raises:
        ServiceError: it is there already, or cannot be written.
    """
    lines = "".join(f"{role} {secrets.token_urlsafe(32)}\n" for role in COVERS)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(lines)
    except OSError as error:
        raise ServiceError(f"cannot write tokens to {path} ({error.strerror}): name a new file") from error


def _shown(authorization: str) -> str:
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return text.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(text.strip(), validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    return ""


def digest_of(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
