"""Pull: the files of one commit, each checked, into a folder that only then is looked at.

The client does not hash what it downloads outside Xet, so every file is hashed here while it is copied out of
the cache, and compared with the repository's tree (sha256 in LFS, else the git blob's sha1) and with the
manifest. The manifest is read first: a repository whose tree does not fit it, or that is too large, is
refused before its weights are fetched. A commit that is whole in the cache needs no network.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from snt_zoo.errors import HubError, HubUnavailableError, IntegrityError, SignatureError
from snt_zoo.registry.bundle.bundle import bundle_id
from snt_zoo.registry.bundle.folder import CONFIG, DATASET, MANIFEST, MODEL
from snt_zoo.registry.bundle.manifest import Manifest, parse_manifest
from snt_zoo.registry.bundle.schema import BundleConfig
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.hub.layout import GENOTYPE, HUB_CARD, KEPT_CARD, REPORT, Kind, kind_of, limits, wanted
from snt_zoo.registry.hub.refs import RepoRef
from snt_zoo.registry.hub.signing import SIGNATURE, SIGNATURE_LIMIT, check
from snt_zoo.registry.hub.states import Hashes, RemoteFile, copy_hashed

DEFAULT_MAX_BYTES = 1_000_000_000  # of a whole repository; the largest bundle of format 1 has 0.9 GB
_CANDIDATES = (MANIFEST, CONFIG, MODEL, DATASET, GENOTYPE, REPORT, KEPT_CARD, HUB_CARD, SIGNATURE)


@dataclass(frozen=True)
class Fetched:
    """What a repository holds, in a folder that is gone afterwards.

    Args:
        kind: supernet or model.
        repo: ``owner/name``.
        commit: that was fetched.
        id: of the supernet; None for a model.
        digest: sha256 of its manifest, hex; None for a model.
        folder: of the files; None if `known` said that they are not needed.
    """

    kind: Kind
    repo: str
    commit: str
    id: str | None
    digest: str | None
    folder: Path | None


@dataclass(frozen=True)
class _Source:
    """A commit, and what its tree says of each file; None where only the cache was asked and cannot tell."""

    commit: str
    files: Mapping[str, RemoteFile | None]
    cached: bool


@contextlib.contextmanager
def fetched(
    client: HubClient,
    ref: RepoRef,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    known: Callable[[str, str], bool] = lambda id, digest: False,
    verify_key: Path | None = None,
) -> Iterator[Fetched]:
    """The files of a revision, checked against its tree and its manifest.

    What is in them is not trusted yet: `Registry.add` and `load_model` check that.

    Args:
        client: of the Hub.
        ref: the repository and its revision.
        max_bytes: of all files together.
        known: whether a supernet with that id and digest is here already; then only the manifest and the
            config are fetched.
        verify_key: public key in PEM by which the manifest has to be signed; checked before anything that
            the manifest lists is fetched.

    Raises:
        HubNotFoundError, HubAccessError, HubUnavailableError: see `hub_failures`.
        ForbiddenFileError: the repository holds a file of a type that has no place there.
        MissingFileError: it is no repository of snt-zoo.
        IntegrityError: a file is too large, or not what the tree or the manifest says.
        ConfigError: the manifest or the config is not what format 1 says.
        SignatureError: it is not signed by that key.
    """
    source = _locate(client, ref, signed=verify_key is not None)
    what = f"{ref.repo}@{source.commit[:8]}"
    kind = kind_of(source.files, what=what)
    names = wanted(kind, source.files)
    _check_sizes(what, source, names, limits(kind), max_bytes)
    with tempfile.TemporaryDirectory(prefix="snt-zoo-pull-") as place:
        folder = Path(place)
        take = _Taker(client, ref, source, folder, {**limits(kind), SIGNATURE: SIGNATURE_LIMIT})
        take(MANIFEST, MANIFEST)
        if verify_key is not None:
            take.signature(verify_key, what=what)
        manifest = parse_manifest(
            (folder / MANIFEST).read_bytes(), listed={local for local in names.values() if local != MANIFEST}
        )
        for name, local in names.items():
            if local != MANIFEST:
                _check_tree(what, manifest, name, local, source.files[name])
        id = digest = None
        for name, local in names.items():
            if local == MANIFEST:
                continue
            take(name, local, manifest=manifest)
            if local == CONFIG and kind == "supernet":
                digest = manifest.digest
                id = bundle_id(BundleConfig.from_bytes((folder / CONFIG).read_bytes()), digest)
                if known(id, digest):
                    yield Fetched(kind, ref.repo, source.commit, id, digest, None)
                    return
        yield Fetched(kind, ref.repo, source.commit, id, digest, folder)


def _locate(client: HubClient, ref: RepoRef, *, signed: bool) -> _Source:
    """The commit that a revision names: from the cache if it is pinned and whole there, else from the Hub."""
    if ref.commit is not None or client.is_offline:
        found = _in_cache(client, ref)
        # Cached without its signature, the commit may have one all the same.
        if found is not None and (SIGNATURE in found.files or not signed):
            return found
    try:
        state = client.state(ref)
    except HubUnavailableError as error:
        kept = _in_cache(client, ref)
        if kept is None:
            raise
        raise HubUnavailableError(
            f"{error}; the cache holds {ref} as it was at an earlier pull: `snt-zoo pull "
            f"{ref.repo}@{kept.commit}`"
        ) from None
    if ref.commit is not None and state.commit != ref.commit:
        raise IntegrityError(f"{ref}: the Hub answered with the commit {state.commit[:8]}: try again later")
    return _Source(state.commit, state.files, False)


def _in_cache(client: HubClient, ref: RepoRef) -> _Source | None:
    """What the cache holds of a revision, if it can be pulled from there."""
    paths = {name: client.cached(ref.repo, ref.revision or "main", name) for name in _CANDIDATES}
    found = {name: path for name, path in paths.items() if path is not None}
    commits = {path.parent.name for path in found.values()}
    if len(commits) != 1:
        return None
    with contextlib.suppress(ValueError):  # a MissingFileError: not whole
        kind_of(found, what=str(ref))
        return _Source(commits.pop(), {name: _of_blob(path) for name, path in found.items()}, True)
    return None


def _of_blob(path: Path) -> RemoteFile | None:
    """What the tree said when a file was cached: its blob is named by the Hub's hash, where links can be."""
    oid = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", oid) is None:
        return None
    return RemoteFile(path.stat().st_size, oid, len(oid) == 64)


def _check_sizes(
    what: str, source: _Source, names: Mapping[str, str], most: Mapping[str, int], max_bytes: int
) -> None:
    sizes = {name: file.size for name in names if (file := source.files[name]) is not None}
    for name, size in sizes.items():
        if size > most[names[name]]:
            raise IntegrityError(
                f"{what}: {name} must have at most {most[names[name]]:,} bytes, has {size:,}: nothing was "
                "downloaded"
            )
    if sum(sizes.values()) > max_bytes:
        raise IntegrityError(
            f"{what} has {sum(sizes.values()):,} bytes, more than the {max_bytes:,} that are allowed: raise "
            "--max-size if you trust it; nothing was downloaded"
        )


def _check_tree(what: str, manifest: Manifest, name: str, local: str, file: RemoteFile | None) -> None:
    """Before it is fetched: a file that the manifest does not mean."""
    expected = manifest.files[local]
    if file is None:
        return
    if file.size != expected.size or (file.lfs and file.oid != expected.sha256):
        raise IntegrityError(
            f"{what}: {name} is not the file that the manifest lists ({expected.size:,} bytes, sha256 "
            f"{expected.sha256[:12]}…): the repository was changed by hand; ask its owner to push it again"
        )


@dataclass(frozen=True, eq=False)
class _Taker:
    """Fetches one file after another into a folder."""

    client: HubClient
    ref: RepoRef
    source: _Source
    folder: Path
    most: Mapping[str, int]

    def __call__(self, name: str, local: str, *, manifest: Manifest | None = None) -> None:
        """Fetch a file, and check it; once more if the cache held a damaged one."""
        first = self._take(name, local, manifest)
        if first is None:
            return
        try:
            if self.source.cached:  # without a network this fails at once, a download after many tries
                self.client.state(RepoRef(self.ref.repo, self.source.commit))
            second = self._take(name, local, manifest)
        except HubError as error:
            raise IntegrityError(f"{first}, and it cannot be fetched again: {error}") from None
        if second is not None:
            raise IntegrityError(f"{second}: it was damaged on the way or on the Hub, do not use it")

    def signature(self, key: Path, *, what: str) -> None:
        """Check the signature of the manifest that was fetched."""
        file = self.source.files.get(SIGNATURE)
        if SIGNATURE not in self.source.files:
            raise SignatureError(
                f"{what} is not signed ({SIGNATURE} is missing): pull it without --verify-key if you trust "
                "it all the same, or ask its owner to push it with --sign-key"
            )
        if file is not None and file.size > SIGNATURE_LIMIT:
            raise SignatureError(f"{what}: {SIGNATURE} must have at most {SIGNATURE_LIMIT:,} bytes")
        self(SIGNATURE, SIGNATURE)
        path = self.folder / SIGNATURE
        check((self.folder / MANIFEST).read_bytes(), path.read_bytes(), key, what=what)
        path.unlink()  # what goes on from here is the bundle alone

    def _take(self, name: str, local: str, manifest: Manifest | None) -> str | None:
        """None, or what is wrong with the file, which then is no longer in the cache."""
        path = self._download(name)
        expected = self.source.files[name]
        size = path.stat().st_size if expected is None else expected.size
        target = self.folder / local
        target.unlink(missing_ok=True)
        with path.open("rb") as source, target.open("xb") as sink:
            found = copy_hashed(source, sink, size=min(size, self.most[local]))
        wrong = self._wrong(found, name, local, expected, manifest)
        if wrong is not None:
            self.client.evict(path)
        return wrong

    def _download(self, name: str) -> Path:
        commit = self.source.commit
        if name == MANIFEST and not self.source.cached and self.ref.commit is None:
            # By its name, so that the cache learns what it stood for, for a time without a network.
            path = self.client.download(self.ref.repo, self.ref.revision or "main", name)
            if path.parent.name == commit:
                return path
        return self.client.download(self.ref.repo, commit, name)

    def _wrong(
        self, found: Hashes, name: str, local: str, expected: RemoteFile | None, manifest: Manifest | None
    ) -> str | None:
        what = f"{self.ref.repo}@{self.source.commit[:8]}: {name}"
        if expected is not None and not found.are_of(expected):
            kind, got = ("sha256", found.sha256) if expected.lfs else ("git sha1", found.git_sha1)
            return (
                f"{what} must have {expected.size:,} bytes and {kind} {expected.oid[:12]}… by the "
                f"repository's tree, has {found.size:,} and {got[:12]}…"
            )
        if manifest is not None and found.sha256 != manifest.files[local].sha256:
            return (
                f"{what} must have sha256 {manifest.files[local].sha256[:12]}… by the manifest, has "
                f"{found.sha256[:12]}…"
            )
        return None
