"""A registry at a URL, as a registry on this machine.

What the catalog would say the service says; what the bundles hold is fetched when it is needed, checked as
every bundle that comes into a registry, and kept in one of its own: the cache, which may be deleted at any
time. A bundle never changes, so what is kept is never stale.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import platformdirs

from snt_zoo.encoders.embedding import MOMENTS, DatasetEncoder
from snt_zoo.errors import (
    AlreadyInRegistryError,
    BundleError,
    IntegrityError,
    NotInRegistryError,
    ServiceAccessError,
    ServiceError,
    SntZooError,
    first_line,
    warn,
)
from snt_zoo.formats.durable import write_files
from snt_zoo.registry.backup import BackedUp
from snt_zoo.registry.bundle.folder import CONFIG, DATASET, FILE_LIMITS, MANIFEST, check_folder, read_file
from snt_zoo.registry.bundle.manifest import Manifest, parse_manifest, read_manifest
from snt_zoo.registry.bundle.schema import BundleConfig
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.limits import Usage
from snt_zoo.registry.catalog.lineage import Lineage
from snt_zoo.registry.catalog.pages import Page, Place
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.catalog.vectors import Vectors
from snt_zoo.registry.hub.states import copy_hashed
from snt_zoo.registry.own_outcomes import wanted
from snt_zoo.registry.registry import Answers, Records, Registry
from snt_zoo.registry.remote.aliases import RemoteAliases
from snt_zoo.registry.remote.client import TOKEN_VARIABLE, Client, Parameters
from snt_zoo.registry.remote.documents import Matches, Supernet, Supernets
from snt_zoo.registry.store.store import Store
from snt_zoo.registry.upkeep.collecting import Collected
from snt_zoo.registry.upkeep.opening import open_home

if TYPE_CHECKING:
    from snt_zoo.encoders.outcomes import Outcome
    from snt_zoo.encoders.sketch import Sketch
    from snt_zoo.registry.upkeep.verification import Verification

_Read = TypeVar("_Read")

_ADDRESS = re.compile(r"\w[\w.-]*(@\w[\w.-]*)?", re.ASCII)  # an id, a name, or one with a version
KEPT_BYTES = 4 * 2**30
"""Of bundles in the cache: four of the largest that `pull` takes by default. The oldest go first."""
_LIGHT = 2_000  # bundles of which small files alone are kept, at some 50 KB each
_PAGE = 200  # rows that are asked for at once


class RemoteRegistry(Registry):
    """The registry of a service; get one with `RemoteRegistry.at`."""

    def __init__(self, store: Store, catalog: Catalog, encoder: DatasetEncoder, client: Client) -> None:
        super().__init__(store, catalog, encoder)
        self.client = client
        self.aliases = RemoteAliases(catalog.database, client)

    @classmethod
    def at(cls, url: str, *, token: str | None = None, cache: Path | None = None) -> RemoteRegistry:
        """The registry of a service; nothing is asked yet.

        Args:
            url: as `http://127.0.0.1:8765`.
            token: by default what `SNT_ZOO_TOKEN` says.
            cache: folder of what is fetched; by default one for this service in the user's cache.

        Raises:
            ServiceError: that is no address of a service.
        """
        client = Client(url, token=token)
        name = hashlib.sha256(client.url.encode()).hexdigest()[:16]
        place = cache or Path(platformdirs.user_cache_dir("snt-zoo", False)) / "services" / name
        registry = cls(*open_home(place), MOMENTS, client)
        registry._intake.recover()
        return registry

    @property
    def address(self) -> str:
        """See `Household.address`."""
        return self.client.url

    # ---- what the service knows -----------------------------------------------------------------

    def resolve(self, text: str) -> str:
        """See `Household.resolve`."""
        return self._shown(text).id

    def show(self, id: str) -> Record:
        """See `Household.show`; its config is on this machine afterwards."""
        record = self._record(self._shown(id))
        if record.id != id:
            raise NotInRegistryError(f"no supernet of id {id!r}: did you mean {record.id}?")
        self._light(record, CONFIG)
        return record

    def list(
        self,
        where: Filter | None = None,
        *,
        space: str | None = None,
        max_params: int | None = None,
        max_macs: int | None = None,
        tag: str | None = None,
    ) -> Records:
        """See `Registry.list`."""
        short = {"space": space, "max_params": max_params, "max_macs": max_macs, "tag": tag}
        given = {key: value for key, value in short.items() if value is not None}
        wanted = conditions(replace(where or Filter(), **given))  # type: ignore[arg-type]
        found: Records = []
        following: str | None = None
        while True:
            begin = [] if following is None else [("cursor", following)]
            page = self._page([*wanted, ("limit", _PAGE), *begin])
            found += map(self._record, page.supernets)
            following = page.next
            if following is None:
                return found

    def ids(self, where: Filter) -> set[str]:
        """See `Registry.ids`."""
        return {record.id for record in self.list(where)}

    def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """See `Registry.records`."""
        found = {}
        for id in ids:
            with contextlib.suppress(NotInRegistryError):
                found[id] = self._record(self._shown(id))
        return found

    def knows(self, word: str) -> bool:
        """See `Registry.knows`."""
        without = self._page([("exclude", word), ("limit", 1)]).total
        return without < self.count()

    def count(self) -> int:
        """See `Registry.count`."""
        return self._page([("limit", 1)]).total

    def ask(self, sketch: bytes, *, k: int, by: str, distance: str, where: Filter) -> Matches:
        """The answer to a sketch's file, as the service gives it; see `asking`."""
        query = [*conditions(where), ("k", k), ("by", by), ("distance", distance)]
        headers = {"Content-Type": "application/octet-stream"}
        raw = self.client.request("POST", "query", query=query, body=sketch, headers=headers)
        return Matches.model_validate_json(raw)

    # ---- what changes it ------------------------------------------------------------------------

    def add(
        self, folder: str | os.PathLike[str], *, tags: Iterable[str] = (), aliases: Iterable[str] = ()
    ) -> Record:
        """See `Registry.add`; when this returns, the bundle is on the service's disk."""
        folder = Path(folder)
        check_folder(folder)
        config = BundleConfig.from_bytes(read_file(folder, CONFIG))
        address = f"{config.name}@{read_manifest(folder).digest}"
        with contextlib.suppress(NotInRegistryError):  # asked before a large body is sent
            raise AlreadyInRegistryError(
                f"{self._shown(address).id} is in the registry at {self.client.url} already"
            )
        query = [*(("tag", tag) for tag in tags), *(("alias", alias) for alias in aliases)]
        files = {name: folder / name for name in FILE_LIMITS}
        try:
            raw = self.client.upload("supernets", query=query, files=files)
        except AlreadyInRegistryError:  # the answer to a first request was lost, which was then repeated
            return self._record(self._shown(address))
        return self._record(Supernet.model_validate_json(raw))

    def tag(self, id: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Record:
        """See `Registry.tag`."""
        document = {"add": list(add), "remove": list(remove)}
        raw = self.client.send("POST", "supernets", id, "tags", document=document)
        return self._record(Supernet.model_validate_json(raw))

    def keep_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Send what a run came to, where the token may write; a run must not fail for it, so it is only said
        that it was not sent."""
        if not wanted() or not outcomes:
            return
        by_id: dict[str, list[dict[str, Any]]] = {}
        for one in outcomes:
            by_id.setdefault(one.bundle, []).append(_measured(one))
        try:
            if not self.client.has_token:
                raise ServiceAccessError(
                    f"{self.client.url} takes it from who may write: set {TOKEN_VARIABLE}"
                )
            for id, measured in by_id.items():
                self.client.send("POST", "supernets", id, "outcomes", document={"outcomes": measured})
        except SntZooError as error:
            warn(f"the outcome of the run was not sent: {first_line(error)}")

    # ---- what is fetched ------------------------------------------------------------------------

    def sketches(self, id: str, *, digest: str | None = None) -> tuple[Sketch, ...]:
        """See `Registry.sketches`; the weights are not fetched."""
        from snt_zoo.registry.bundle.sketch_file import load_sketches

        record = self._record(self._shown(id))
        folder = self._light(record, CONFIG, DATASET)
        return load_sketches(read_file(folder, DATASET), backbone=record.backbone)

    def folder(self, id: str) -> Path:
        """See `Household.folder`; the bundle is on this machine afterwards."""
        return self._here(id).path

    def _read(self, id: str, read: Callable[[Record], _Read]) -> _Read:
        record = self._here(id)
        try:
            return read(record)
        except BundleError:  # damaged since it was fetched
            with contextlib.suppress(NotInRegistryError):  # another process made room
                self._intake.remove(record.id)
            return read(self._here(id))

    def _here(self, id: str) -> Record:
        """The record of a bundle in the cache, fetched if it is not there."""
        served = self._shown(id)
        held = self._catalog.get(served.id)
        if held is not None and held.digest == served.digest:
            return held
        self._make_room(served.size)
        with tempfile.TemporaryDirectory(prefix="snt-zoo-fetch-", dir=self.home) as folder:
            place = Path(folder)
            raw = self._manifest(served.id, served.digest)
            (place / MANIFEST).write_bytes(raw)
            manifest = parse_manifest(raw)
            for name in manifest.files:
                self._download(served.id, name, place, manifest)
            with contextlib.suppress(AlreadyInRegistryError):  # another process was faster
                super().add(place)
        held = self._catalog.get(served.id)
        if held is None or held.digest != served.digest:
            raise IntegrityError(f"{self.client.url} sent another bundle than {served.id}: do not use it")
        return held

    def _make_room(self, size: int) -> None:
        """Let go of what was fetched longest ago, so that a bundle of that size fits into `KEPT_BYTES`."""
        held = sorted(self._catalog.select(Filter()), key=lambda record: record.added_at)
        left = KEPT_BYTES - size - sum(record.size for record in held)
        for record in held:
            if left >= 0:
                break
            with contextlib.suppress(NotInRegistryError):  # another process was faster
                self._intake.remove(record.id)
            left += record.size
        light = sorted((self.home / "light").glob("*"), key=lambda folder: folder.stat().st_mtime)
        for folder in light[:-_LIGHT]:
            shutil.rmtree(folder, ignore_errors=True)

    def _light(self, record: Record, *names: str) -> Path:
        """The folder of a record with small files of its bundle, as its manifest says they are."""
        wanted = [name for name in (*names, MANIFEST) if not (record.path / name).is_file()]
        if wanted:
            raw = self._manifest(record.id, record.digest)
            manifest = parse_manifest(raw)
            files = {MANIFEST: raw}
            for name in wanted:
                if name != MANIFEST:
                    content = self._small(record.id, name, min(FILE_LIMITS[name], manifest.files[name].size))
                    manifest.check_bytes(name, content)
                    files[name] = content
            write_files(record.path, files)
        return record.path

    def _manifest(self, id: str, digest: str) -> bytes:
        raw = self._small(id, MANIFEST, FILE_LIMITS[MANIFEST])
        if hashlib.sha256(raw).hexdigest() != digest:
            raise IntegrityError(f"the manifest of {id} from {self.client.url} is not that of its digest")
        return raw

    def _small(self, id: str, name: str, limit: int) -> bytes:
        with self.client.stream("supernets", id, "files", name) as answer:
            return answer.read(limit + 1)

    def _download(self, id: str, name: str, folder: Path, manifest: Manifest) -> None:
        """A file of a bundle, hashed as it comes; one that was cut off is fetched again."""
        entry = manifest.files[name]
        for last in (False, True):
            with (
                self.client.stream("supernets", id, "files", name) as answer,
                (folder / name).open("wb") as sink,
            ):
                found = copy_hashed(answer, sink, size=min(entry.size, FILE_LIMITS[name]))
            if (found.sha256, found.size) == (entry.sha256, entry.size):
                return
            if last:
                manifest.check(folder, name)  # raises, and says how it differs

    # ---- what has to be done where the registry lies --------------------------------------------

    def remove(self, id: str) -> None:
        """Not by a service; raises `ServiceError`, as all below do."""
        self._elsewhere("remove")

    def search(
        self, sketch: Sketch, k: int, *, allowed: AbstractSet[str] | None = None, where: Filter | None = None
    ) -> Answers:
        """Not by a service: ask it by `retrieve`."""
        self._elsewhere("search")

    def page(
        self, where: Filter | None = None, *, sort: str = "name", after: Place | None = None, limit: int = 50
    ) -> Page:
        """Not by a service: it gives its own cursors."""
        self._elsewhere("page")

    def vectors(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """Not by a service."""
        self._elsewhere("a map")

    def revision(self) -> int:
        """Not by a service."""
        self._elsewhere("a map")

    def seed(self, folders: Iterable[str | os.PathLike[str]]) -> int:
        """Not by a service."""
        self._elsewhere("seed")

    def rebuild_index(self, *, from_bundles: bool = False) -> int:
        """Not by a service."""
        self._elsewhere("rebuild-index")

    def lineage(self, id: str) -> Lineage:
        """Not by a service."""
        self._elsewhere("lineage")

    def verify(
        self,
        id: str | None = None,
        *,
        repair: bool = False,
        on_bundle: Callable[[int, int], None] = lambda done, all: None,
    ) -> Verification:
        """Not by a service."""
        self._elsewhere("verify")

    def gc(self, *, dry_run: bool = False) -> Collected:
        """Not by a service."""
        self._elsewhere("gc")

    def usage(self) -> Usage:
        """Not by a service."""
        self._elsewhere("limit")

    def set_limit(self, limit: int | None) -> Usage:
        """Not by a service."""
        self._elsewhere("limit")

    def backup(self, target: str | os.PathLike[str]) -> BackedUp:
        """Not by a service."""
        self._elsewhere("backup")

    def _elsewhere(self, what: str) -> NoReturn:
        raise ServiceError(
            f"{self.client.url} is a service, and {what} is done where its registry lies: log in there, and "
            "leave out --zoo"
        )

    # ---- documents ------------------------------------------------------------------------------

    def _shown(self, id: str) -> Supernet:
        if not _ADDRESS.fullmatch(id):
            raise NotInRegistryError(f"no supernet {ascii(id)[:100]} in the registry: see `snt-zoo list`")
        return Supernet.model_validate_json(self.client.get("supernets", id))

    def _page(self, query: Parameters) -> Supernets:
        return Supernets.model_validate_json(self.client.get("supernets", query=query))

    def _record(self, served: Supernet) -> Record:
        return served.record(self.home / "light" / served.digest)


_SENT = (
    "target", "fingerprint", "classes", "images", "method", "budget", "val", "val_images", "test",
    "test_images", "expected", "genotype", "seed", "code_version",
)  # fmt: skip
"""Of an outcome; the rest a service knows by itself."""


def _measured(one: Outcome) -> dict[str, Any]:
    """An outcome as a service takes it: a part of the data on which nothing was measured has no images."""
    unmeasured = {f"{part}_images": 0 for part in ("val", "test") if getattr(one, part) is None}
    return {name: getattr(one, name) for name in _SENT} | unmeasured


def conditions(where: Filter) -> Parameters:
    """A filter as parameters of a request."""
    lists = {
        "exclude": where.exclude,
        "metric": tuple(f"{each.metric}{each.relation}{each.value!r}" for each in where.metrics),
    }
    single = {
        name: value
        for name, value in vars(where).items()
        if name not in ("exclude", "metrics") and value is not None
    }
    return [*single.items(), *((name, value) for name, each in lists.items() for value in each)]
