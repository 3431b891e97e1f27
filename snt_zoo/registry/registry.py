"""The registry: the user's bundles, what is known of them, and the search for the nearest ones.

The facade of this room. It joins the store (folders), the catalog (rows, the truth), the intake
(every change to both), the aliases and the index.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from snt_zoo.encoders.embedding import MOMENTS, DatasetEncoder
from snt_zoo.errors import BundleError, RegistryError, first_line
from snt_zoo.registry.catalog.aliases import check_alias, check_tags
from snt_zoo.registry.catalog.filters import Filter, fits_word
from snt_zoo.registry.catalog.pages import Page, Place
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.catalog.vectors import Maker, Vectors, embeddings
from snt_zoo.registry.household import Household
from snt_zoo.registry.kept_bundles import KeptBundles
from snt_zoo.registry.own_outcomes import keep_outcomes
from snt_zoo.registry.upkeep.intake import Label
from snt_zoo.registry.upkeep.opening import CATALOG, open_home
from snt_zoo.registry.upkeep.rescue import save_tags, set_catalog_aside

if TYPE_CHECKING:
    from snt_zoo.encoders.outcomes import Outcome
    from snt_zoo.encoders.sketch import Sketch
    from snt_zoo.registry.bundle.bundle import Bundle
    from snt_zoo.registry.upkeep.verification import Verification

__all__ = ["Record", "Registry"]

HOME_VARIABLE = "SNT_ZOO_HOME"

Records = list[Record]  # within the class, `list` is its method
Answers = list[tuple[str, float]]


class Registry(Household):
    """A registry of bundles; get one with `Registry.open`.

    Several processes and threads may use one home at once.
    """

    _kept: KeptBundles | None = None

    @classmethod
    def open(
        cls, home: str | os.PathLike[str] | None = None, *, encoder: DatasetEncoder = MOMENTS
    ) -> Registry:
        """Open the registry; make it if it is not there, bring it up to date if it is older.

        Args:
            home: its folder; by default what `SNT_ZOO_HOME` says, else the platform's place for
                the user's data.
            encoder: makes the vectors, and those of queries.

        Raises:
            RegistryError: the folder cannot be made; its subclasses DamagedCatalogError and
                NewerRegistryError: the catalog cannot be read, or a newer snt-zoo wrote it.

        Example:
            >>> Registry.open("zoo-home").list()  # doctest: +SKIP
            []
        """
        store, catalog = open_home(cls.place(home))
        registry = cls(store, catalog, encoder)
        registry._intake.recover()
        return registry

    @staticmethod
    def place(home: str | os.PathLike[str] | None = None) -> Path:
        """The folder that `open` would open.

        Raises:
            RegistryError: none was named, and the user has no home.
        """
        chosen = home or os.environ.get(HOME_VARIABLE)
        try:
            return Path(chosen or platformdirs.user_data_dir("snt-zoo", False)).expanduser().absolute()
        except (RuntimeError, OSError) as error:  # no HOME, and no entry for the user; no working directory
            raise RegistryError(
                f"there is no place for the registry ({first_line(error)}): set {HOME_VARIABLE} to a folder "
                "that you may write to"
            ) from error

    @classmethod
    def rescue(
        cls, home: str | os.PathLike[str] | None = None, *, encoder: DatasetEncoder = MOMENTS
    ) -> tuple[Registry, Verification]:
        """Open a registry whose catalog is damaged: it is set aside, and made anew from the bundles.

        Aliases with their history, tags, the limit and the memory of starters are taken from the
        damaged catalog and from backups, as far as they can be read.
        """
        from snt_zoo.registry.upkeep.inspection import Problem
        from snt_zoo.registry.upkeep.verification import Verification

        away = set_catalog_aside(cls.place(home))
        registry = cls.open(home, encoder=encoder)
        found = registry.verify(repair=True)
        save_tags(away, registry.home, registry._catalog)
        first = Problem("catalog", CATALOG, "it could not be read", f"moved to {away} and made anew")
        return registry, Verification(found.bundles, (first, *found.problems))

    @property
    def maker(self) -> Maker | None:
        """Backbone, encoder and dimension of the vectors; None while there are none."""
        return self._catalog.maker()

    def add(
        self,
        folder: str | os.PathLike[str],
        *,
        tags: Iterable[str] = (),
        aliases: Iterable[str] = (),
    ) -> Record:
        """Take a bundle into the registry; its folder is copied and stays as it is.

        Args:
            folder: of a bundle.
            tags: to add to those of its author.
            aliases: of its name that are to stand for it from now on, as `latest` always does.

        Returns:
            The new record.

        Raises:
            AlreadyInRegistryError: the same bundle is there.
            StoreFullError: the registry's limit does not allow it; names what could be removed.
            AliasError: that is no name for an alias or a tag.
            IndexMismatchError: its vectors cannot be compared with those that are there.
            BundleError: its subclasses tell what is wrong with the bundle.
        """
        label = Label(check_tags(tags), tuple(aliases))
        for alias in label.aliases:
            check_alias(alias)
        return self._intake.add(Path(folder), label)

    def seed(self, folders: Iterable[str | os.PathLike[str]]) -> int:
        """Add starter bundles, each once: one that was removed does not come back.

        Args:
            folders: of the bundles; if all were seeded before, only their manifests are read.

        Returns:
            How many were added; one that is there already is not, nor one that is spoilt. Raises otherwise
            as `add` does.
        """
        return self._intake.seed(map(Path, folders))

    def list(
        self,
        where: Filter | None = None,
        *,
        space: str | None = None,
        max_params: int | None = None,
        max_macs: int | None = None,
        tag: str | None = None,
    ) -> Records:
        """The records that fit, by name.

        Args:
            where: any conditions.
            space: short for that condition, as are `max_params`, `max_macs` and `tag`.
        """
        short = {"space": space, "max_params": max_params, "max_macs": max_macs, "tag": tag}
        given = {key: value for key, value in short.items() if value is not None}
        return self._catalog.select(replace(where or Filter(), **given))  # type: ignore[arg-type]

    def page(
        self,
        where: Filter | None = None,
        *,
        sort: str = "name",
        after: Place | None = None,
        limit: int = 50,
    ) -> Page:
        """A page of the records that fit, and how many there are; see `catalog.pages.page`."""
        return self._catalog.page(where or Filter(), sort=sort, after=after, limit=limit)

    def ids(self, where: Filter) -> set[str]:
        """The ids of the bundles that fit, without their records."""
        return self._catalog.ids(where)

    def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """The records of these ids; one that is not there (any more) is left out."""
        return self._catalog.get_all(ids)

    def to_rank(self, ids: Sequence[str]) -> dict[str, Record]:
        """The same for a ranking, which looks at no tag and no alias: a kept record may have earlier ones."""
        if self._kept is None:
            return self.records(ids)
        known = self._kept.digests(self._nearest.state)
        known.update(self._catalog.digests([id for id in ids if id not in known]))
        digests = {id: known[id] for id in ids if id in known}
        found = self._kept.records(digests)
        new = self.records([id for id in digests if id not in found])
        self._kept.keep_records(new)
        return {**found, **new}

    def vectors(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """The embeddings of these bundles, ``n x dim`` for one with n sketches; of unit length."""
        return self._catalog.vectors(ids)

    def revision(self) -> int:
        """A number that every change of the registry counts up."""
        return self._catalog.revision()

    def embed(self, sketch: Sketch) -> Vectors:
        """The embedding of a sketch as a query compares it, ``dim``, of unit length.

        Raises:
            RegistryError: it has no direction.
        """
        (found,) = embeddings([sketch], self.encoder)
        return found  # type: ignore[no-any-return]  # a row

    def knows(self, word: str) -> bool:
        """Whether a word is a tag, or the beginning of an id, of any bundle."""
        return self._catalog.exists(fits_word(word))

    def count(self) -> int:
        """How many bundles there are."""
        return self._catalog.count()

    def get(self, id: str) -> Bundle:
        """The bundle itself, checked again.

        Raises:
            NotInRegistryError: it is not there.
            BundleError: its files were changed or are gone; remove it and add it again.
        """
        from snt_zoo.registry.bundle.bundle import read_bundle

        return self._read(id, lambda record: read_bundle(record.path, known=record.digest))

    def sketches(self, id: str, *, digest: str | None = None) -> tuple[Sketch, ...]:
        """The sketches of a bundle, without its weights; raises as `get` does.

        Args:
            id: of the bundle.
            digest: likewise, where it is known: then the catalog is not asked, and what is kept is found.
        """
        kept = self._kept
        if kept is not None and digest is not None and (found := kept.sketches(digest)) is not None:
            return found
        from snt_zoo.registry.bundle.bundle import read_header, read_sketches

        if digest is None:
            return self._read(id, lambda record: read_header(record.path, known=record.digest)[1])
        try:
            found = read_sketches(self._store.path(id), known=digest, alone=kept is not None)
        except BundleError:  # removed or damaged: the whole way tells which
            return self.sketches(id)
        if kept is not None:
            kept.keep_sketches(digest, found)
        return found

    def keep(self, classes: int) -> None:
        """From now on keep records, and the sketches that queries read, of so many classes in all, at 5 KB
        each."""
        self._kept = KeptBundles(classes)

    def remove(self, id: str) -> None:
        """Take a bundle out and delete its folder; raises `NotInRegistryError`.

        Its aliases go with it, but for `latest`, which moves to the newest version that stays.
        """
        self._intake.remove(self.show(id).id)

    def tag(self, id: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Record:
        """Give a bundle tags and take some away, in this registry; the bundle itself never changes.

        Raises:
            NotInRegistryError: it is not there.
            AliasError: that is no tag.
        """
        self._catalog.retag(self.show(id).id, add=check_tags(add), remove=tuple(remove))
        return self.show(id)

    def search(
        self,
        sketch: Sketch,
        k: int,
        *,
        allowed: AbstractSet[str] | None = None,
        where: Filter | None = None,
    ) -> Answers:
        """The bundles whose best sketch is nearest.

        Args:
            sketch: of the target.
            k: at most so many, at least 1.
            allowed: ids to choose from; None for all.
            where: conditions that the answers must meet.

        Returns:
            Ids and cosines, best first; of equals the smaller id.

        Raises:
            IndexMismatchError: its vector cannot be compared with the registry's.
            RegistryError: `k` is below 1, or the vector has no direction.
        """
        if k < 1:
            raise RegistryError(f"k must be at least 1, got {k}: ask for one answer or more")
        (query,) = embeddings([sketch], self.encoder)
        maker = Maker(sketch.backbone, self.encoder.id, len(query))
        conditions = () if where is None else where.conditions()
        return self._nearest.search(query, k, maker=maker, allowed=allowed, where=conditions)

    def keep_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Keep what a run came to, from which predictions learn; see `own_outcomes.keep_outcomes`."""
        keep_outcomes(self.home, outcomes)

    def rebuild_index(self, *, from_bundles: bool = False) -> int:
        """Build the index anew.

        Args:
            from_bundles: read every bundle of the store, and make rows and vectors again: after a
                change of the encoder, or when the catalog was lost. Else the vectors in the catalog
                are used.

        Returns:
            The number of vectors.

        Raises:
            IndexMismatchError: the bundles in the store were sketched by different backbones.
            BundleError: a bundle in the store is damaged; names its folder.
        """
        if from_bundles:
            with self._intake.changing():
                self._intake.relist()
        return self._nearest.rebuild()
