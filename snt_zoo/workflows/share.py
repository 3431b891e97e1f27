"""`Sharing`: the part of `Zoo` that speaks to the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from snt_zoo.encoders.embedding import ENCODER_ID, embed
from snt_zoo.errors import HubError, NotInRegistryError
from snt_zoo.registry.hub.arrival import Pulled, pull_into
from snt_zoo.registry.hub.cache import HubCache
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.hub.origins import Origin, Origins
from snt_zoo.registry.hub.package import pack_folder
from snt_zoo.registry.hub.pull import DEFAULT_MAX_BYTES
from snt_zoo.registry.hub.push import Pushed, push
from snt_zoo.registry.hub.refs import RepoRef
from snt_zoo.registry.hub.seen import RemoteRecord
from snt_zoo.registry.hub.sync import SyncReport, sync
from snt_zoo.registry.registry import Registry
from snt_zoo.registry.retrieval import Match


class Sharing:
    """A registry, and the Hub that its supernets come from and go to.

    Args:
        registry: the user's.
        hub: by default the one that the environment names (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`).
    """

    def __init__(self, registry: Registry, *, hub: HubClient | None = None) -> None:
        self.registry = registry
        self._hub = hub

    def push(
        self,
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
        if Path(source).is_dir():
            package = pack_folder(Path(source), base=self._repo_of)
        else:
            package = pack_folder(self.registry.show(self.registry.resolve(str(source))).path)
        return push(
            self.hub,
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
        self,
        repo: str,
        *,
        out: str | Path | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        verify_key: str | Path | None = None,
    ) -> Pulled:
        """Take a supernet of the Hub into the registry, or a derived model into a folder.

        A commit that was pulled before needs no network.

        Args:
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
            self.registry,
            self.hub,
            RepoRef.parse(repo),
            embed=embed,
            encoder=ENCODER_ID,
            out=None if out is None else Path(out),
            max_bytes=max_bytes,
            verify_key=None if verify_key is None else Path(verify_key),
        )

    def sync(self, *, on_repo: Callable[[int, str], None] | None = None) -> SyncReport:
        """Look at every supernet on the Hub, without its weights, for `query(hub=True)`.

        Only what changed since the last time is fetched.

        Args:
            on_repo: called with the number of repositories done, and the last one's name.

        Raises:
            HubUnavailableError: the Hub cannot be reached; what was known before is kept.
        """
        return sync(self.hub, self._cache(), embed=embed, encoder=ENCODER_ID, on_repo=on_repo)

    def origin(self, id: str) -> Origin | None:
        """Where on the Hub a supernet was pulled from; None if it was not."""
        return Origins(self.registry.home).get(self.registry.resolve(id))

    @property
    def hub(self) -> HubClient:
        """The Hub that is asked."""
        if self._hub is None:
            self._hub = HubClient()
        return self._hub

    # ---- inside ---------------------------------------------------------------------------------

    def _cache(self) -> HubCache:
        return HubCache(self.registry.home, endpoint=self.hub.place, encoder=ENCODER_ID)

    def _seen(self) -> HubCache:
        """What the last sync saw."""
        cache = self._cache()
        if not cache.is_there():
            raise HubError("nothing is known of the Hub yet: run `snt-zoo sync` once, or leave out --hub")
        cache.embed_anew(embed)
        return cache

    def _repo_of(self, id: str) -> str | None:
        """Repository that a supernet was pulled from."""
        origin = Origins(self.registry.home).get(id)
        return None if origin is None else origin.repo

    def _fetched(self, match: Match | RemoteRecord) -> str:
        """Id of a match that is in the registry now, whether or not it had to be pulled."""
        if match.repo is not None:
            pulled = self.pull(f"{match.repo}@{match.commit}")
            if pulled.id != match.id:
                raise HubError(
                    f"{match.repo} holds {pulled.id} and not {match.id}, which was seen there: run `snt-zoo "
                    "sync` again"
                )
        return match.id

    def _meant(self, source: str) -> str:
        """Id of what a person named: in the registry, a repository, or seen on the Hub."""
        if "/" in source:
            pulled = self.pull(source)
            if pulled.id is None:
                raise HubError(
                    f"{source} holds a derived model, not a supernet: nothing can be searched in it"
                )
            return pulled.id
        try:
            return self.registry.resolve(source)
        except NotInRegistryError:
            seen = self._cache().find(source)
            if seen is None:
                raise
            return self._fetched(seen)
