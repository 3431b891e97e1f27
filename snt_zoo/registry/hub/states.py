"""What the Hub says of repositories and of their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
