"""The Hub as this package needs it: state of a repository, small files, downloads, one commit, a listing.

A thin layer over `huggingface_hub`, which honours `HF_HOME`, `HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE`
by itself, and which is imported when it is first needed. Every error that leaves here is a `HubError`.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from snt_zoo.errors import HubError, IntegrityError, warn
from snt_zoo.registry.hub.failures import hub_failures
from snt_zoo.registry.hub.redaction import Secret, protect_logs, redact
from snt_zoo.registry.hub.refs import RepoRef, is_commit, is_repo
from snt_zoo.registry.hub.states import Listed, RemoteFile, RepoState
from snt_zoo.version import __version__

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
TIMEOUT = 20.0  # seconds without an answer
_TRIES = 3  # of a small file, where the Hub says that it is busy
_LIBRARY = "snt-zoo"


class HubClient:
    """A Hub, and who asks.

    Args:
        endpoint: address of the Hub; by default `HF_ENDPOINT`, else the public one.
        token: by default `HF_TOKEN`, else what `hf auth login` stored.
        cache: folder of downloads; by default the one of `huggingface_hub` (`HF_HOME`).
    """

    def __init__(
        self, *, endpoint: str | None = None, token: str | None = None, cache: Path | None = None
    ) -> None:
        from huggingface_hub import constants

        self.endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self.cache = cache
        self._token = None if token is None else Secret(token)
        self._warned = False

    def __repr__(self) -> str:
        shown = "None" if self._token is None else repr(self._token)
        return f"HubClient(endpoint={redact(self.endpoint)!r}, token={shown})"

    @property
    def is_offline(self) -> bool:
        """Whether `HF_HUB_OFFLINE` forbids requests."""
        from huggingface_hub import constants

        return bool(constants.HF_HUB_OFFLINE)

    # ---- reading --------------------------------------------------------------------------------

    def state(self, ref: RepoRef) -> RepoState:
        """Commit and files of a revision, in one request.

        Raises:
            HubNotFoundError, HubAccessError, HubUnavailableError, HubError: see `hub_failures`.
        """
        with self._failures(str(ref)):
            info = self._api().model_info(
                ref.repo, revision=ref.revision, files_metadata=True, timeout=TIMEOUT
            )
            files = {}
            for file in info.siblings or ():
                oid = file.blob_id if file.lfs is None else file.lfs.sha256
                files[str(file.rfilename)] = RemoteFile(int(file.size or 0), str(oid), file.lfs is not None)
            commit = str(info.sha)
            state = RepoState(ref.repo, commit, bool(info.private), frozenset(info.tags or ()), files)
        if not is_commit(commit):
            raise HubError(f"{ref}: {self.place} named no commit: it is no Hub that snt-zoo can use")
        return state

    def tags(self, repo: str) -> dict[str, str]:
        """The tags of a repository, and the commits that they name."""
        with self._failures(repo):
            refs = self._api().list_repo_refs(repo)
            return {str(tag.name): str(tag.target_commit) for tag in refs.tags}

    def branches(self, repo: str) -> dict[str, str]:
        """The branches of a repository, and their heads."""
        with self._failures(repo):
            refs = self._api().list_repo_refs(repo)
            return {str(branch.name): str(branch.target_commit) for branch in refs.branches}

    def listing(self, tag: str) -> Iterator[Listed]:
        """Every repository with a tag, a page at a time; those that are not named as such are left out."""
        what = f"repositories tagged {tag!r}"
        # The pages below are asked for with many retries: without a network, this one ends at once.
        with self._get(f"{self.endpoint}/api/models", what, params={"filter": tag, "limit": 1}):
            pass
        with self._failures(what):
            pages = iter(self._api().list_models(filter=[tag], expand=["sha", "siblings"]))
        while True:
            with self._failures(what):
                info = next(pages, None)
            if info is None:
                return
            repo, commit = str(info.id), str(info.sha)
            if is_repo(repo) and is_commit(commit):
                names = frozenset(str(file.rfilename) for file in info.siblings or ())
                yield Listed(repo, commit, names)

    def read(self, repo: str, commit: str, name: str, *, limit: int) -> bytes:
        """A small file, past the cache, in one request.

        Args:
            repo: ``owner/name``.
            commit: of the file.
            name: its path in the repository, one of `layout`.
            limit: most bytes; reading ends there.

        Raises:
            IntegrityError: it is larger.
        """
        from huggingface_hub import hf_hub_url

        url = hf_hub_url(repo, name, revision=commit, endpoint=self.endpoint)
        content = bytearray()
        with self._get(url, f"{repo}: {name}") as parts:
            for part in parts:
                content += part
                if len(content) > limit:
                    raise IntegrityError(f"{repo}: {name} must have at most {limit:,} bytes, has more")
        return bytes(content)

    def download(self, repo: str, commit: str, name: str) -> Path:
        """A file in the cache, fetched if it is not there; not checked, see `pull`."""
        from huggingface_hub import hf_hub_download

        with self._failures(f"{repo}@{commit[:8]}: {name}"):
            return Path(
                hf_hub_download(
                    repo,
                    name,
                    revision=commit,
                    endpoint=self.endpoint,
                    token=self._given(),
                    cache_dir=self.cache,
                    library_name=_LIBRARY,
                    library_version=__version__,
                )
            )

    def cached(self, repo: str, revision: str, name: str) -> Path | None:
        """A file in the cache, if it is there; its folder is named by the commit."""
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(repo, name, revision=revision, cache_dir=self.cache)
        return Path(found) if isinstance(found, str) else None

    def evict(self, path: Path) -> None:
        """Take a file out of the cache, so that the next download fetches it anew."""
        from huggingface_hub import constants

        root = Path(self.cache or constants.HF_HUB_CACHE).resolve()
        for place in (path.resolve(), path):
            if place.is_relative_to(root) or place.parent.resolve().is_relative_to(root):
                place.unlink(missing_ok=True)

    # ---- writing --------------------------------------------------------------------------------

    def create(self, repo: str, *, private: bool) -> None:
        """Make a repository; one that is there stays as it is."""
        with self._failures(repo):
            self._api().create_repo(repo, private=private or None, exist_ok=True)

    def create_branch(self, repo: str, branch: str) -> None:
        """Make a branch at the head of the main one."""
        with self._failures(repo):
            self._api().create_branch(repo, branch=branch, exist_ok=True)

    def create_tag(self, repo: str, tag: str, *, commit: str) -> None:
        """Name a commit; a name that is taken is refused by the Hub."""
        with self._failures(f"{repo}: tag {tag}"):
            self._api().create_tag(repo, tag=tag, revision=commit)

    def commit(
        self,
        repo: str,
        *,
        add: Mapping[str, bytes | Path],
        delete: Iterable[str],
        parent: str,
        branch: str | None,
        message: str,
    ) -> tuple[str, str, list[str]]:
        """One commit, or none at all.

        Args:
            repo: ``owner/name``.
            add: contents by path.
            delete: paths.
            parent: the head that the commit follows.
            branch: by default the main one.
            message: first line.

        Returns:
            Its id, its address, and what the Hub remarked.

        Raises:
            HubConflictError: `parent` is no longer the head.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[Any] = [
            CommitOperationAdd(path, str(content) if isinstance(content, Path) else content)
            for path, content in add.items()
        ]
        operations += [CommitOperationDelete(path, is_folder=False) for path in delete]
        api = self._api()  # which may warn itself
        with warnings.catch_warnings(record=True) as remarks, self._failures(repo):
            warnings.simplefilter("always")
            done = api.create_commit(
                repo, operations, commit_message=message, parent_commit=parent, revision=branch
            )
            # The check of the card warns so; other categories are the client's own business.
            notes = [redact(r.message, self._secrets) for r in remarks if r.category is UserWarning]
            return str(done.oid), str(done.commit_url), notes

    # ---- who asks -------------------------------------------------------------------------------

    def _api(self) -> HfApi:
        from huggingface_hub import HfApi

        self._warn_of_plain_text()
        protect_logs(self._secrets)  # again each time: loggers may be new
        return HfApi(
            endpoint=self.endpoint, token=self._given(), library_name=_LIBRARY, library_version=__version__
        )

    @contextlib.contextmanager
    def _get(
        self, url: str, what: str, *, params: Mapping[str, str | int] | None = None
    ) -> Iterator[Iterator[bytes]]:
        """The parts of an answer, as they come."""
        from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, but not in its __all__
            build_hf_headers,
            hf_raise_for_status,
            http_stream_backoff,
        )

        self._warn_of_plain_text()
        headers = build_hf_headers(token=self._given(), library_name=_LIBRARY, library_version=__version__)
        protect_logs(self._secrets)
        with (
            self._failures(what),
            http_stream_backoff(
                "GET",
                url,
                params=params,
                headers=headers | {"Accept-Encoding": "identity"},
                timeout=TIMEOUT,
                max_retries=_TRIES,
                retry_on_exceptions=(),
                retry_on_status_codes=(429, 503),
            ) as response,
        ):
            hf_raise_for_status(response)
            yield response.iter_bytes()

    def _given(self) -> str | None:
        return None if self._token is None else self._token.reveal()

    @cached_property
    def _secrets(self) -> tuple[Secret, ...]:
        from huggingface_hub import get_token

        stored = get_token()
        found = () if stored is None else (Secret(stored),)
        return found if self._token is None else (*found, self._token)

    def _warn_of_plain_text(self) -> None:
        address = urlsplit(self.endpoint)
        outside = address.scheme.lower() == "http" and address.hostname not in _THIS_MACHINE
        if outside and self._secrets and not self._warned:
            self._warned = True
            warn(
                f"the token is sent to {self.place} without encryption, and who is in between can read it: "
                "use https:// in HF_ENDPOINT, or unset HF_TOKEN"
            )

    @property
    def place(self) -> str:
        """The endpoint, without credentials."""
        return redact(self.endpoint, self._secrets)

    def _failures(self, what: str) -> AbstractContextManager[None]:
        return hub_failures(what, endpoint=self.endpoint, secrets=self._secrets)
