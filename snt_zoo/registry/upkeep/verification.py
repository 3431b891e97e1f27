"""`verify`: look at everything without a lock, look again under it at what seemed wrong, mend if asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from snt_zoo.errors import ReadOnlyRegistryError, RegistryError
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.index.nearest import NearestBundles
from snt_zoo.registry.upkeep.inspection import Inspection, Problem
from snt_zoo.registry.upkeep.intake import Intake
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
            "problems": [asdict(problem) for problem in self.problems],
        }


def verify(
    intake: Intake,
    nearest: NearestBundles,
    id: str | None,
    *,
    repair: bool,
    on_bundle: Callable[[int, int], None],
) -> Verification:
    """See `Registry.verify`.

    Args:
        intake: for the lock, and to list bundles anew.
        nearest: of the index.
        id: of one bundle; None for everything.
        repair: mend what can be mended.
        on_bundle: called with how many bundles are done, of how many.
    """

    def inspection() -> Inspection:
        return Inspection(intake.store, intake.catalog, intake.encoder)

    ids = sorted(intake.catalog.ids(Filter()) | set(intake.store.ids())) if id is None else [id]
    first = inspection()
    suspects = []
    for done, each in enumerate(ids, 1):
        if any(first.bundle(each)):
            suspects.append(each)
        on_bundle(done, len(ids))
    general = id is None and any(_general(first, nearest))
    if not suspects and not general:
        return Verification(len(ids), ())
    # Some of it may be another process's change that was under way.
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(intake.changing())
        except ReadOnlyRegistryError:  # then nobody changes it
            if repair:
                raise
        if repair:
            mending = Repair(intake)
            problems = [problem for each in suspects for problem in mending.bundle(each)]
            problems += _mend_whole(mending, list(_general(inspection(), nearest)), nearest)
        else:
            again = inspection()
            problems = [problem for each in suspects for problem in again.bundle(each)]
            problems += _general(again, nearest) if general else []
    return Verification(len(ids), tuple(problems))


def _general(inspection: Inspection, nearest: NearestBundles) -> Iterable[Problem]:
    yield from inspection.whole()
    try:
        lines = nearest.problems()
    except RegistryError as error:
        lines = [str(error)]
    for line in lines:
        yield Problem("index", "index", line)


def _mend_whole(repair: Repair, whole: list[Problem], nearest: NearestBundles) -> list[Problem]:
    found = [repair.orphans(problem) for problem in whole if problem.kind == "catalog"]
    found += [repair.stranger(problem) for problem in whole if problem.kind == "unlisted"]
    found += [repair.blob(problem) for problem in whole if problem.kind == "blob"]
    if makers := [problem for problem in whole if problem.kind == "vectors"]:
        found += repair.makers(makers)
    if index := [problem for problem in whole if problem.kind == "index"]:
        nearest.rebuild()
        found += [replace(problem, repaired="the index was built anew") for problem in index]
    return found
