"""`verify`: look at everything without a lock, look again under it at what seemed wrong, mend if asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from snt_zoo.errors import RegistryError
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.vectors import Embed
from snt_zoo.registry.index.nearest import NearestBundles
from snt_zoo.registry.intake import Intake
from snt_zoo.registry.store.store import Store
from snt_zoo.registry.upkeep.inspection import Inspection, Problem
from snt_zoo.registry.upkeep.repair import Repair


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Args:
        bundles: how many were looked at.
        problems: that there were, repaired or not.
    """

    bundles: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, or nothing any more."""
        return all(problem.repaired is not None for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "ok": self.ok,
            "bundles": self.bundles,
            "problems": [problem.to_json() for problem in self.problems],
        }


class Verifier:
    """Verification of a registry.

    Args:
        store: of the folders.
        catalog: of the rows.
        intake: for the lock, and to list bundles anew.
        nearest: of the index.
    """

    def __init__(self, store: Store, catalog: Catalog, intake: Intake, nearest: NearestBundles) -> None:
        self._store = store
        self._catalog = catalog
        self._intake = intake
        self._nearest = nearest

    def verify(
        self,
        id: str | None,
        *,
        embed: Embed | None,
        encoder: str | None,
        repair: bool,
        on_bundle: Callable[[int, int], None],
    ) -> Verification:
        """See `Registry.verify`."""
        ids = sorted(self._catalog.ids(Filter()) | set(self._store.ids())) if id is None else [id]
        inspection = Inspection(self._store, self._catalog, embed)
        suspects = []
        for done, each in enumerate(ids, 1):
            if any(inspection.bundle(each)):
                suspects.append(each)
            on_bundle(done, len(ids))
        general = id is None and any(self._general(inspection))
        if not suspects and not general:
            return Verification(len(ids), ())
        # Some of it may be another process's change that was under way.
        with self._intake.changing():
            if repair and embed is not None:
                mended = Repair(self._store, self._catalog, self._intake, embed=embed, encoder=encoder)
                problems = self._mend(mended, suspects, general, embed)
            else:
                again = Inspection(self._store, self._catalog, embed)
                problems = [problem for each in suspects for problem in again.bundle(each)]
                problems += self._general(again) if general else []
        return Verification(len(ids), tuple(problems))

    def _general(self, inspection: Inspection) -> Iterable[Problem]:
        yield from inspection.whole()
        try:
            lines = self._nearest.problems()
        except RegistryError as error:
            lines = [str(error)]
        for line in lines:
            yield Problem("index", "index", line)

    def _mend(self, repair: Repair, suspects: list[str], general: bool, embed: Embed) -> list[Problem]:
        found = [problem for each in suspects for problem in repair.bundle(each)]
        if not (general or suspects):
            return found
        whole = list(self._general(Inspection(self._store, self._catalog, embed)))
        found += [repair.orphans(problem) for problem in whole if problem.kind == "catalog"]
        found += [repair.blob(problem) for problem in whole if problem.kind == "blob"]
        if makers := [problem for problem in whole if problem.kind == "vectors"]:
            found += repair.makers(makers)
        if index := [problem for problem in whole if problem.kind == "index"]:
            self._nearest.rebuild()
            found += [replace(problem, repaired="the index was built anew") for problem in index]
        return found
