"""The registry: the user's bundles, what is known of them, and the search for the nearest ones.

The facade of this room. It joins the store (folders), the catalog (rows, the truth), the intake
(every change to both) and the index (vectors).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import platformdirs
from torch import Tensor

from snt_zoo.encoders.sketch import Sketch
from snt_zoo.errors import NotInRegistryError, RegistryError
from snt_zoo.registry.bundle import Bundle, read_bundle, read_header
from snt_zoo.registry.catalog import Catalog
from snt_zoo.registry.intake import Intake
from snt_zoo.registry.naming import resolve
from snt_zoo.registry.nearest import NearestBundles
from snt_zoo.registry.records import Record
from snt_zoo.registry.store import Store
from snt_zoo.registry.vector_rows import Condition
from snt_zoo.registry.vectors import Embed, Maker, unit

__all__ = ["Record", "Registry"]

HOME_VARIABLE = "SNT_ZOO_HOME"

Records = list[Record]  # within the class, `list` is its method
Answers = list[tuple[str, float]]
Problems = list[str]


class Registry:
    """A registry of bundles; get one with `Registry.open`.

    Several processes and threads may use one home at once.
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self._intake = Intake(store, catalog)
        self._nearest = NearestBundles(catalog, store.root / "index")

    @classmethod
    def open(cls, home: str | os.PathLike[str] | None = None) -> Registry:
        """Open the registry, and make it if it is not there.

        Args:
            home: its folder; by default what `SNT_ZOO_HOME` says, else the platform's place for
                the user's data.

        Raises:
            RegistryError: the folder cannot be made, or the catalog is damaged or too new.

        Example:
            >>> Registry.open("zoo-home").list()  # doctest: +SKIP
            []
        """
        place = home or os.environ.get(HOME_VARIABLE) or platformdirs.user_data_dir("snt-zoo", False)
        store = Store(Path(place).expanduser().absolute())
        catalog = Catalog(store.root / "catalog.sqlite", locate=store.path)
        if not catalog.is_ready():
            with store.lock():
                if not catalog.is_ready():  # another process may have been faster
                    catalog.prepare()
        registry = cls(store, catalog)
        registry._intake.recover()
        return registry

    @property
    def home(self) -> Path:
        """The registry's folder."""
        return self._store.root

    @property
    def maker(self) -> Maker | None:
        """Backbone, encoder and dimension of the vectors; None while there are none."""
        return self._catalog.maker()

    def add(self, folder: str | os.PathLike[str], *, embed: Embed, encoder: str | None = None) -> Record:
        """Take a bundle into the registry; its folder is copied and stays as it is.

        Args:
            folder: of a bundle.
            embed: makes a vector of a sketch.
            encoder: id of `embed`; by default the one that the bundle names.

        Returns:
            The new record.

        Raises:
            AlreadyInRegistryError: the same bundle is there.
            IndexMismatchError: its vectors cannot be compared with those that are there.
            BundleError: its subclasses tell what is wrong with the bundle.
        """
        return self._intake.add(Path(folder), embed=embed, encoder=encoder)

    def seed(
        self,
        folders: Iterable[str | os.PathLike[str]],
        *,
        embed: Embed,
        encoder: str | None = None,
    ) -> int:
        """Add starter bundles, each once: one that was removed does not come back.

        Args:
            folders: of the bundles; if all were seeded before, only their manifests are read.
            embed: makes a vector of a sketch.
            encoder: id of `embed`; by default the one that each bundle names.

        Returns:
            How many were added; one that is there already is not. Raises otherwise as `add` does.
        """
        return self._intake.seed(map(Path, folders), embed=embed, encoder=encoder)

    def list(
        self,
        *,
        space: str | None = None,
        max_params: int | None = None,
        max_macs: int | None = None,
        tag: str | None = None,
    ) -> Records:
        """The records, by name. Bounds are on the derived network, and include their value."""
        records = self._catalog.select(space=space, max_params=max_params, max_macs=max_macs)
        return [record for record in records if tag is None or tag in record.tags]

    def resolve(self, prefix: str) -> str:
        """The id that a person means: an id, a name, or the start of one id.

        Raises:
            NotInRegistryError: nothing fits, or several do; says which come close.
        """
        return resolve(prefix, self._catalog.names())

    def show(self, id: str) -> Record:
        """The record of a bundle; raises `NotInRegistryError`."""
        record = self._catalog.get(id)
        if record is None:
            meant = self.resolve(id)  # raises with a hint, unless a name or a start was given
            raise NotInRegistryError(f"no supernet of id {id!r}: did you mean {meant}?")
        return record

    def get(self, id: str) -> Bundle:
        """The bundle itself, checked again.

        Raises:
            NotInRegistryError: it is not there.
            BundleError: its files were changed or are gone; remove it and add it again.
        """
        record = self.show(id)
        return read_bundle(record.path, known=record.digest)

    def sketches(self, id: str) -> tuple[Sketch, ...]:
        """The sketches of a bundle, without its weights; raises as `get` does."""
        record = self.show(id)
        return read_header(record.path, known=record.digest)[1]

    def remove(self, id: str) -> None:
        """Take a bundle out and delete its folder; raises `NotInRegistryError`."""
        self._intake.remove(self.show(id).id)

    def search(
        self,
        vector: Tensor,
        k: int,
        *,
        backbone: str,
        encoder: str,
        allowed: AbstractSet[str] | None = None,
        where: Sequence[Condition] = (),
    ) -> Answers:
        """The bundles whose best sketch is nearest.

        Args:
            vector: embedding of the target's sketch, ``dim``; need not be of unit length.
            k: at most so many, at least 1.
            backbone: id of the backbone behind the vector.
            encoder: id of the encoder that made it.
            allowed: ids to choose from; None for all.
            where: conditions on the catalog's table of bundles, which SQLite checks; unlike `allowed`,
                also where millions meet them.

        Returns:
            Ids and cosines, best first; of equals the smaller id.

        Raises:
            IndexMismatchError: the vector cannot be compared with the registry's.
            RegistryError: `k` is below 1, or the vector has no direction.
        """
        if k < 1:
            raise RegistryError(f"k must be at least 1, got {k}: ask for one answer or more")
        query = unit(vector, what="the query")
        maker = Maker(backbone, encoder, len(query))
        return self._nearest.search(query, k, maker=maker, allowed=allowed, where=where)

    def index_problems(self) -> Problems:
        """Where the index file differs from the catalog; `rebuild_index` mends it."""
        return self._nearest.problems()

    def rebuild_index(self, *, embed: Embed | None = None, encoder: str | None = None) -> int:
        """Build the index anew.

        Args:
            embed: with it every bundle of the store is read, and rows and vectors are made again:
                after a change of the encoder, or when the catalog was lost. Without it the vectors
                in the catalog are used.
            encoder: id of `embed`; by default the one that each bundle names.

        Returns:
            The number of vectors.

        Raises:
            IndexMismatchError: the bundles in the store were sketched by different backbones.
            BundleError: a bundle in the store is damaged; names its folder.
        """
        if embed is not None:
            self._intake.relist(embed=embed, encoder=encoder)
        return self._nearest.rebuild()
