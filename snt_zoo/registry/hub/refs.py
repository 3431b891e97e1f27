"""`owner/name@revision`: how a repository is named on the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from snt_zoo.errors import HubError

# What the Hub accepts (huggingface_hub's validate_repo_id), with an owner.
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REPO = re.compile(rf"{_PART}/{_PART}", re.ASCII)
# What git accepts as a name (git-check-ref-format), narrower: it also becomes a file's name in the cache.
_REVISION = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}(?:/[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}){0,4}", re.ASCII
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class RepoRef:
    """A repository, and which revision of it.

    Args:
        repo: ``owner/name``.
        revision: branch, tag or commit; None for the head of the main branch.
    """

    repo: str
    revision: str | None = None

    def __post_init__(self) -> None:
        check_repo(self.repo)
        if self.revision is not None:
            check_revision(self.revision)

    @classmethod
    def parse(cls, text: str) -> RepoRef:
        """Read ``owner/name`` or ``owner/name@revision``.

        Example:
            >>> RepoRef.parse("alice/leaves@v1")
            RepoRef(repo='alice/leaves', revision='v1')

        Raises:
            HubError: it is neither.
        """
        repo, at, revision = text.partition("@")
        return cls(repo, revision if at else None)

    @property
    def commit(self) -> str | None:
        """The commit, if the revision is one."""
        return self.revision if self.revision is not None and is_commit(self.revision) else None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


def is_repo(text: str) -> bool:
    """Whether a text is ``owner/name``, as the Hub allows it."""
    return _REPO.fullmatch(text) is not None and "--" not in text and ".." not in text


def is_commit(text: str) -> bool:
    """Whether a text is a whole commit id."""
    return _COMMIT.fullmatch(text) is not None


def check_repo(text: str) -> str:
    """The text itself; raises `HubError` if it names no repository."""
    if not is_repo(text):
        raise HubError(f"{ascii(text)[:120]} names no repository of the Hub: write it as owner/name")
    return text


def check_revision(text: str) -> str:
    """The text itself; raises `HubError` if it can be no branch, tag or commit."""
    if _REVISION.fullmatch(text) is None or ".." in text or text.endswith((".lock", ".")):
        raise HubError(f"{ascii(text)[:120]} can be no branch, tag or commit: write it as v1 or main")
    return text
