"""The answer of a query, in sentences and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snt_zoo.registry.retrieval import Match, QueryResult
from snt_zoo.service.page.links import Drawn, Link, draw_links
from snt_zoo.service.page.templating import percent
from snt_zoo.service.page.zoo_map import ZooMap

_NEAREST = 3  # pairs of classes that the reason of a match names


@dataclass(frozen=True)
class Found:
    """One match.

    Args:
        rank: from 1.
        match: itself.
        gain: points of accuracy that a new last layer is above the classifier to beat; None if not measured.
        reason: why it ranks there, in a sentence.
        links: the drawn pairs of classes.
    """

    rank: int
    match: Match
    gain: float | None
    reason: str
    links: Drawn


@dataclass(frozen=True)
class Spot:
    """Where the dataset falls on the map, with a line to each match that is drawn there."""

    x: float
    y: float
    lines: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Answer:
    """What the page says of a query.

    Args:
        classes: how many it has.
        images: how many it has, in all parts.
        verdict: whether anything is close, in sentences.
        close: whether that is good news; None where it was not measured.
        found: the matches, nearest first.
        ranked_by: what ranked them.
        seconds: that it took.
        spot: on the map; None where it has no place there.
        passed_over: sentences on files that were left out.
    """

    classes: int
    images: int
    verdict: tuple[str, ...]
    close: bool | None
    found: tuple[Found, ...]
    ranked_by: str
    seconds: float
    spot: Spot | None
    passed_over: tuple[str, ...]


def found_of(result: QueryResult) -> tuple[Found, ...]:
    """The matches of a query, each with its reason."""
    return tuple(
        Found(rank, match, _gain(match, result), _reason(match), _links(match))
        for rank, match in enumerate(result.matches, 1)
    )


def verdict_of(result: QueryResult) -> tuple[str, ...]:
    """What a query says of closeness and of what is gained, in sentences."""
    probe = result.probe
    heads = [match for match in result.matches if match.head_accuracy is not None]
    if probe is None or not heads:
        return ("Whether any supernet is close was not measured.",)
    best = max(heads, key=lambda match: match.head_accuracy or 0.0)
    mark = f"a linear classifier on the ImageNet backbone {probe.backbone} has {percent(probe.val_accuracy)}"
    head = f"With a new last layer, {best.id} has {percent(best.head_accuracy)} on your validation images"
    measured = f"{head}; {mark}."
    fitted = f"Both were fitted to {probe.images:,} of your images, and nothing else was trained."
    if result.close:
        return ("A supernet is close to your data.", measured, fitted)
    advice = "A training is still worth a try: it hands back the better of the two, or both together."
    return ("No supernet is close to your data.", measured, fitted, advice)


def spot_of(zoo_map: ZooMap, place: tuple[float, float], matches: Sequence[Match]) -> Spot:
    """The mark on the map, and lines to the matches that are drawn there."""
    dots = (zoo_map.dot(match.id) for match in matches)
    return Spot(*place, tuple((dot.x, dot.y) for dot in dots if dot is not None))


def _gain(match: Match, result: QueryResult) -> float | None:
    if match.head_accuracy is None or result.probe is None:
        return None
    return 100 * (match.head_accuracy - result.probe.val_accuracy)


def _reason(match: Match) -> str:
    if match.diverged:
        return "Its weights overflow: no last layer could be fitted, and it cannot be used."
    nearest = sorted(match.class_matches, key=lambda pair: pair.distance)[:_NEAREST]
    if not nearest:
        return "Its classes are not told."
    pairs = ", ".join(f"{pair.target} near {pair.source_class}" for pair in nearest)
    of = f" of {nearest[0].source}" if len(match.sources) > 1 else ""
    return f"Your classes lie nearest to its classes{of} here: {pairs}."


def _links(match: Match) -> Drawn:
    return draw_links([Link(pair.target, pair.source_class, pair.distance) for pair in match.class_matches])
