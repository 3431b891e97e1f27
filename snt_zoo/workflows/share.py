"""Push supernets and networks to the Hugging Face Hub, and pull them from there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from snt_zoo.errors import AlreadyInRegistryError, HubError, NotInRegistryError
from snt_zoo.registry.arrival import Pulled, pull_into
from snt_zoo.registry.hub.origins import Origin, Origins
from snt_zoo.registry.hub.package import pack_folder
from snt_zoo.registry.hub.pull import DEFAULT_MAX_BYTES
from snt_zoo.registry.hub.push import Pushed
from snt_zoo.registry.hub.push import push as push_package
from snt_zoo.registry.hub.refs import RepoRef
from snt_zoo.registry.hub.seen import RemoteRecord
from snt_zoo.registry.hub.sync import SyncReport
from snt_zoo.registry.hub.sync import sync as sync_cache
from snt_zoo.registry.retrieval import Match
from snt_zoo.registry.starter import open_registry
from snt_zoo.workflows.shelves import Shelves, cache_of


def push(
    zoo: Shelves,
    source: str | Path,
    repo: str,
    *,
    private: bool = False,
    tag: str | None = None,
    revision: str | None = None,
    message: str | None = None,
    dry_run: bool = False,
    sign_key: str | Path | None = None,
) -> Pushed:
    """Put a supernet or a derived model on the Hub, as one commit, or none if nothing changed.

    Args:
        zoo: that has the supernet.
        source: id of a supernet (or its beginning), or the folder of a bundle or of a derived model.
        repo: ``owner/name``; made if it is not there.
        private: make it private.
        tag: name for the commit; a tag never moves.
        revision: branch; by default the main one.
        message: of the commit.
        dry_run: only say what would be done.
        sign_key: private key on an elliptic curve, in PEM, that signs it; needs the extra `sign`.

    Raises:
        NotInRegistryError: no such supernet, and no such folder.
        BundleError, ModelFolderError: it is damaged.
        HubConflictError: somebody else changed the repository meanwhile; nothing was pushed.
        SignatureError: the key cannot sign.
        HubError: its other subclasses tell why the Hub refuses or cannot be reached.
    """

    def base(id: str) -> str | None:
        """Repository that a supernet was pulled from."""
        found = Origins(zoo.registry.home).get(id)
        return None if found is None else found.repo

    if Path(source).is_dir():
        package = pack_folder(Path(source), base=base)
    else:
        package = pack_folder(zoo.registry.folder(zoo.registry.resolve(str(source))))
    return push_package(
        zoo.hub,
        package,
        repo,
        private=private,
        tag=tag,
        branch=revision,
        message=message,
        dry_run=dry_run,
        sign_key=None if sign_key is None else Path(sign_key),
    )


def pull(
    zoo: Shelves,
    repo: str,
    *,
    out: str | Path | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    verify_key: str | Path | None = None,
) -> Pulled:
    """Take a supernet of the Hub into the registry, or a derived model into a folder.

    A commit that was pulled before needs no network.

    Args:
        zoo: into whose registry.
        repo: ``owner/name``, or ``owner/name@revision``.
        out: where a derived model goes; by default ``models/name``.
        max_bytes: of the repository; a larger one is refused before anything is fetched.
        verify_key: public key in PEM by which it has to be signed; needs the extra `sign`.

    Raises:
        BundleError: its subclasses tell why the content is refused.
        HubError: its subclasses tell why the Hub refuses or cannot be reached.
        SignatureError: it is not signed by that key.
        ModelFolderError: it is a derived model that is damaged, or `out` is in use.
        IndexMismatchError: its sketches cannot be compared with the registry's.
    """
    return pull_into(
        zoo.registry,
        zoo.hub,
        RepoRef.parse(repo),
        out=None if out is None else Path(out),
        max_bytes=max_bytes,
        verify_key=None if verify_key is None else Path(verify_key),
    )


def take(zoo: Shelves, id: str, *, home: str | Path | None = None, out: str | Path | None = None) -> Pulled:
    """Take a supernet of a service into a registry of this machine, or into a folder.

    Args:
        zoo: whose registry is at a URL.
        id: of the supernet, as in `Zoo.show`.
        home: folder of the registry, as in `Zoo.open`.
        out: a folder of its own, in the place of a registry.

    Raises:
        NotInRegistryError: the service has no such supernet.
        BundleError: its subclasses tell why the content is refused.
    """
    record = zoo.registry.show(zoo.registry.resolve(id))
    place, added = zoo.registry.folder(record.id), True
    if out is not None:
        path = zoo.registry.checkout(record.id, out)
    else:
        registry = open_registry(home)
        try:
            path = registry.add(place).path
        except AlreadyInRegistryError:
            path, added = registry.show(record.id).path, False
    return Pulled("supernet", record.id, path, zoo.registry.address, record.digest, None, added)


def sync(zoo: Shelves, *, on_repo: Callable[[int, str], None] | None = None) -> SyncReport:
    """Look at every supernet on the Hub, without its weights, for `query(hub=True)`.

    Only what changed since the last time is fetched.

    Args:
        zoo: for whose queries.
        on_repo: called with the number of repositories done, and the last one's name.

    Raises:
        HubUnavailableError: the Hub cannot be reached; what was known before is kept.
    """
    return sync_cache(zoo.hub, cache_of(zoo), on_repo=on_repo)


def origin(zoo: Shelves, id: str) -> Origin | None:
    """Where on the Hub a supernet was pulled from; None if it was not."""
    return Origins(zoo.registry.home).get(zoo.registry.resolve(id))


def id_of(zoo: Shelves, source: Match | RemoteRecord | str, *, hub: bool = False) -> str:
    """The id of a supernet that is in the registry now, whether or not it had to be pulled.

    A bare name is that of a supernet here. Whoever could choose a name on the Hub that somebody mistypes, or
    has removed, would have his own supernet used; so the Hub is asked only where it is named.

    Args:
        zoo: into whose registry.
        source: a match, or what a person named: an id or its beginning, or a repository.
        hub: where nothing here fits, the id may be that of a supernet which the last sync saw.

    Raises:
        NotInRegistryError: nothing fits, or several do.
        HubError: it has to be pulled, and cannot be.
    """
    if isinstance(source, str):
        if "/" in source:
            pulled = pull(zoo, source)
            if pulled.id is None:
                raise HubError(
                    f"{source} holds a derived model, not a supernet: nothing can be searched in it"
                )
            return pulled.id
        try:
            return zoo.registry.resolve(source)
        except NotInRegistryError as error:
            seen = cache_of(zoo).find(source)
            if seen is None or zoo.registry.knows(source):
                raise
            if not hub:
                raise NotInRegistryError(
                    f"{error}; the last sync saw {seen.id} in {seen.repo}: name the repository, or add --hub"
                ) from None
            source = seen
    if source.repo is not None:
        pulled = pull(zoo, f"{source.repo}@{source.commit}")
        if pulled.id != source.id:
            raise HubError(
                f"{source.repo} holds {pulled.id} and not {source.id}, which was seen there: run "
                "`snt-zoo sync` again"
            )
    return source.id
