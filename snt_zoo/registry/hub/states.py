"""What the Hub says of repositories and of their files, and the two hashes by which it names contents.

sha256 in LFS, and git's sha1 of a blob elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

_PART = 1 << 20


class Readable(Protocol):
    """A file, or an answer that comes."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


@dataclass(frozen=True)
class RemoteFile:
    """A file in the tree of a commit.

    Args:
        size: bytes.
        oid: sha256 of a file in LFS, else the git blob's sha1; hex.
        lfs: which of the two.
    """

    size: int
    oid: str
    lfs: bool


@dataclass(frozen=True)
class RepoState:
    """A repository at a commit.

    Args:
        repo: ``owner/name``.
        commit: 40 hex digits.
        private: whether only its owner sees it.
        tags: that the Hub finds it by.
        files: by path.
    """

    repo: str
    commit: str
    private: bool
    tags: frozenset[str]
    files: Mapping[str, RemoteFile]


@dataclass(frozen=True)
class Listed:
    """A repository in a listing.

    Args:
        repo: ``owner/name``.
        commit: head of its main branch.
        names: of its files.
    """

    repo: str
    commit: str
    names: frozenset[str]


@dataclass(frozen=True)
class Hashes:
    """What names a content.

    Args:
        size: bytes.
        sha256: hex.
        git_sha1: sha1 of ``blob <size>\\0`` and the content (git's object format), hex.
    """

    size: int
    sha256: str
    git_sha1: str

    def are_of(self, file: RemoteFile) -> bool:
        """Whether it is the content of a file in a tree."""
        return self.size == file.size and file.oid == (self.sha256 if file.lfs else self.git_sha1)


def hashes_of(content: bytes | Path) -> Hashes:
    """The hashes of a content, in constant memory."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            return copy_hashed(file, None, size=content.stat().st_size)
    sha1 = hashlib.sha1(_head(len(content)) + content, usedforsecurity=False)
    return Hashes(len(content), hashlib.sha256(content).hexdigest(), sha1.hexdigest())


def copy_hashed(source: Readable, sink: BinaryIO | None, *, size: int) -> Hashes:
    """Copy a file and hash what was copied, so that what was checked is what is kept.

    Args:
        source: read to its end, or one byte beyond `size`.
        sink: where to; None only hashes.
        size: expected bytes.
    """
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(_head(size), usedforsecurity=False)
    copied = 0
    while copied <= size and (part := source.read(min(_PART, size + 1 - copied))):
        sha256.update(part)
        sha1.update(part)
        copied += len(part)
        if sink is not None:
            sink.write(part)
    return Hashes(copied, sha256.hexdigest(), sha1.hexdigest())


def _head(size: int) -> bytes:
    return f"blob {size}\0".encode()
