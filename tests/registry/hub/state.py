"""What the tests' hub holds, and how it misbehaves when it is told to."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml
from starlette.requests import Request

LFS_SUFFIXES = {".safetensors", ".bin", ".pt", ".pkl"}
GITATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
TEXT = {"Content-Type": "application/octet-stream"}


def git_sha1(content: bytes) -> str:
    """Id of a git blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A file of a commit: its size, its git id, and its sha256 if it is in LFS."""

    size: int
    oid: str
    sha256: str | None

    @property
    def key(self) -> str:
        """What its content is stored under, and its ETag."""
        return self.sha256 or self.oid


@dataclass
class Repo:
    """A repository: its commits by id, its branches and tags."""

    id: str
    private: bool
    commits: dict[str, dict[str, Entry]] = field(default_factory=dict)
    parents: dict[str, str | None] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, Entry], message: str) -> str:
        """Add a commit and move the branch to it."""
        parent = self.branches.get(branch)
        listed = sorted((path, entry.key) for path, entry in files.items())
        text = json.dumps([self.id, parent, message, listed, len(self.commits)])
        oid = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.commits[oid], self.parents[oid], self.messages[oid] = files, parent, message
        self.branches[branch] = oid
        return oid

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch, a tag or an id names."""
        named = self.branches.get("main" if revision == "HEAD" else revision) or self.tags.get(revision)
        return named or (revision if revision in self.commits else None)


class Refused(Exception):  # noqa: N818  # an answer, rather than an error
    """An answer other than success."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message} | ({} if code is None else {"X-Error-Code": code})


@dataclass
class Hub:
    """The state of the server.

    Args:
        users: name of the user of each token.
        page: repositories on a page of the listing.
        other_host: answer downloads of LFS files by sending the client to another host name.
        corrupt: paths whose content is served with one byte changed, of equal size.
        cut: paths whose next download ends after so many bytes.
        broken: repositories whose files cannot be had: the server has a problem.
        busy: how many downloads are answered with 429 first.
        before_commit: called once, before the next commit is looked at.
        echo: answer every request of the API with an error that repeats the token.
        log: method, path, `Authorization` and `Range` of each request.
        sent: bytes of files that were sent, by file name.
        answered: bytes of all answers' bodies.
    """

    users: dict[str, str] = field(default_factory=dict)
    page: int = 1000
    other_host: bool = False
    corrupt: set[str] = field(default_factory=set)
    cut: dict[str, int] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    busy: int = 0
    before_commit: Any = None
    echo: bool = False
    log: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    answered: int = 0
    repos: dict[str, Repo] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    guard: threading.RLock = field(default_factory=threading.RLock)

    def seed(self, id: str, files: Mapping[str, bytes], *, private: bool = False, message: str = "x") -> str:
        """Put files into a repository without a request; returns the commit."""
        with self.guard:
            repo = self.repos.setdefault(id, Repo(id, private))
            entries = {path: self.store(path, content) for path, content in files.items()}
            return repo.commit("main", entries, message)

    def store(self, path: str, content: bytes) -> Entry:
        """Keep a content, in LFS if its name says so."""
        lfs = PurePosixPath(path).suffix in LFS_SUFFIXES
        entry = Entry(len(content), git_sha1(content), hashlib.sha256(content).hexdigest() if lfs else None)
        self.contents[entry.key] = content
        return entry

    def files(self, id: str, revision: str = "main") -> dict[str, bytes]:
        """The files of a revision."""
        repo = self.repos[id]
        commit = repo.resolve(revision)
        assert commit is not None
        return {path: self.contents[entry.key] for path, entry in repo.commits[commit].items()}

    def requests(self, text: str = "") -> list[str]:
        """Method and path of the requests so far whose path holds a text."""
        return [f"{method} {path}" for method, path, _, _ in self.log if text in path]

    # ---- who asks ------------------------------------------------------------------------------

    def user(self, request: Request) -> str | None:
        header = request.headers.get("authorization")
        if header is None:
            return None
        token = header.removeprefix("Bearer ")
        if self.echo:
            raise Refused(403, f"the token {token} may not, says {header}")
        if token not in self.users:
            raise Refused(401, "Invalid credentials in Authorization header")
        return self.users[token]

    def open(self, request: Request, *, write: bool = False) -> Repo:
        """The repository of a request, if the one who asks may see it."""
        id = f"{request.path_params['ns']}/{request.path_params['name']}"
        user = self.user(request)
        repo = self.repos.get(id)
        if repo is None or (repo.private and user != id.partition("/")[0]):
            raise Refused(401 if user is None else 404, "Repository not found", "RepoNotFound")
        if write and user != id.partition("/")[0]:
            raise Refused(401 if user is None else 403, "you may not write to it")
        return repo

    def at(self, repo: Repo, revision: str) -> str:
        commit = repo.resolve(revision)
        if commit is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    # ---- what is answered ------------------------------------------------------------------------

    def card(self, repo: Repo) -> dict[str, Any]:
        entry = repo.commits[repo.branches["main"]].get("README.md")
        return {} if entry is None else front_matter(self.contents[entry.key].decode("utf-8", "replace"))

    def info(self, repo: Repo, commit: str, *, blobs: bool) -> dict[str, Any]:
        card = self.card(repo)
        tags = [str(tag) for tag in card.get("tags") or ()]
        tags += [str(card[key]) for key in ("library_name", "pipeline_tag") if key in card]
        siblings: list[dict[str, Any]] = []
        for path, entry in sorted(repo.commits[commit].items()):
            siblings.append({"rfilename": path})
            if blobs:
                siblings[-1] |= {"size": entry.size, "blobId": entry.oid}
                if entry.sha256 is not None:
                    siblings[-1]["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": 130}
        return {
            "_id": git_sha1(repo.id.encode())[:24],
            "id": repo.id,
            "modelId": repo.id,
            "sha": commit,
            "private": repo.private,
            "gated": False,
            "disabled": False,
            "tags": list(dict.fromkeys(tags)),
            "downloads": 0,
            "likes": 0,
            "siblings": siblings,
        }


@functools.cache  # the pure-Python parser takes milliseconds, and a listing asks for every card
def front_matter(text: str) -> dict[str, Any]:
    """The metadata of a card; nothing if it cannot be read."""
    parts = text.split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        data = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return {}
    return data if isinstance(data, dict) else {}
