"""What becomes of a pulled repository: a supernet goes into the registry, a derived model into a folder."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snt_zoo.errors import (
    AlreadyInRegistryError,
    HubUnavailableError,
    IntegrityError,
    ModelFolderError,
    NotInRegistryError,
    warn,
)
from snt_zoo.formats.durable import made_whole
from snt_zoo.networks.model_folder import load_model
from snt_zoo.networks.trial import check_forward
from snt_zoo.registry.bundle.folder import MODEL
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.hub.layout import Kind
from snt_zoo.registry.hub.origins import Origin, Origins
from snt_zoo.registry.hub.pull import DEFAULT_MAX_BYTES, Fetched, fetched
from snt_zoo.registry.hub.refs import RepoRef
from snt_zoo.registry.registry import Registry

MODELS = Path("models")
"""Where derived models go by default."""


@dataclass(frozen=True)
class Pulled:
    """What a pull did.

    Args:
        kind: supernet or model.
        id: of the supernet in the registry; None for a model.
        out: folder of the model, or of the supernet in the registry; not to be written to there.
        repo: ``owner/name``.
        commit: that the revision named.
        revision: that was asked for; None for the main branch.
        added: False if the supernet was in the registry already.
    """

    kind: Kind
    id: str | None
    out: Path
    repo: str
    commit: str
    revision: str | None
    added: bool

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys of the command line's contract."""
        return {**vars(self), "out": str(self.out)}


def pull_into(
    registry: Registry,
    client: HubClient,
    ref: RepoRef,
    *,
    out: Path | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    verify_key: Path | None = None,
) -> Pulled:
    """Pull a repository; what the registry holds of it needs no network.

    Args:
        registry: for a supernet.
        client: of the Hub.
        ref: the repository and its revision.
        out: for a derived model; by default ``models/name``.
        max_bytes: of all files together.
        verify_key: public key in PEM by which it has to be signed.

    Returns:
        What was done. Raises as `fetched`, `Registry.add` and `load_model` do.
    """
    # Who signed it is not kept.
    here = None if verify_key is not None else _held(registry, client.place, ref)
    if here is not None and (ref.commit is not None or client.is_offline):
        return here
    try:
        return _pulled(registry, client, ref, out, max_bytes, verify_key)
    except HubUnavailableError as error:
        if here is None or ref.revision is None:
            raise
        warn(f"{error}; {ref} is in the registry as it was at an earlier pull")
        return here


def _pulled(
    registry: Registry, client: HubClient, ref: RepoRef, out: Path | None, max_bytes: int, key: Path | None
) -> Pulled:
    def known(id: str, digest: str) -> bool:
        try:
            return registry.show(id).digest == digest
        except NotInRegistryError:
            return False

    with fetched(client, ref, max_bytes=max_bytes, known=known, verify_key=key) as got:
        if got.kind == "model":
            target = out or MODELS / ref.repo.partition("/")[2]
            _place_model(got, target)
            return Pulled(got.kind, None, target, got.repo, got.commit, ref.revision, True)
        assert got.id is not None and got.digest is not None
        added = False
        if got.folder is not None:
            try:
                id = registry.add(got.folder).id
                added = True
            except AlreadyInRegistryError:  # meanwhile, or another content whose digest begins alike
                id = got.id
                if not known(got.id, got.digest):
                    raise
            if id != got.id:
                raise IntegrityError(f"{ref}: expected {got.id}, the registry made {id} of it: report this")
        Origins(registry.home).put(got.id, Origin.now(client.place, got.repo, got.commit, ref.revision))
        path = registry.show(got.id).path
    return Pulled(got.kind, got.id, path, got.repo, got.commit, ref.revision, added)


def _held(registry: Registry, place: str, ref: RepoRef) -> Pulled | None:
    """The supernet that was pulled by that revision and is still here; a commit is the same everywhere.

    The cache of downloads may be gone, or hold only what told that the supernet is here.
    """
    for id, origin in Origins(registry.home).all().items():
        if ref.commit is not None:
            is_it = origin.commit == ref.commit
        else:
            is_it = (origin.revision, origin.endpoint) == (ref.revision, place)
        if origin.repo != ref.repo or not is_it:
            continue
        with contextlib.suppress(NotInRegistryError):
            path = registry.show(id).path
            return Pulled("supernet", id, path, ref.repo, origin.commit, ref.revision, False)
    return None


def _place_model(got: Fetched, target: Path) -> None:
    """Put a derived model in place, whole or not at all, once it has been loaded."""
    assert got.folder is not None
    check_forward(load_model(got.folder).model, what=f"{got.repo}@{got.commit[:8]}: {MODEL}")
    target = target.absolute()
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ModelFolderError(f"{target} is in use: choose another --out")
        with made_whole(target) as partial:
            shutil.copytree(got.folder, partial, dirs_exist_ok=True)
    except OSError as error:
        raise ModelFolderError(f"cannot write {target} ({error.strerror}): choose another --out") from error
