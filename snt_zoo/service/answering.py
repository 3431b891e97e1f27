"""What a query by sketch is answered, whichever thread or process does it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from snt_zoo.encoders.distances import get_distance
from snt_zoo.encoders.target import Target
from snt_zoo.errors import DatasetError, leaving_out
from snt_zoo.registry.bundle.sketch_file import load_sketch
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.retrieval import BY_DISTANCE, DEFAULT_DISTANCE, retrieve
from snt_zoo.workflows.shelves import check_excluded
from snt_zoo.zoo import Zoo

KEPT_CLASSES = 131_072
"""Classes of the sketches that are kept in memory, at 5 KB each with their samples."""


def prepare(zoo: Zoo) -> None:
    """Keep what is read from now on, and answer a query: what the first one imports takes longer than an
    answer may, and so may its index."""
    zoo.registry.keep(KEPT_CLASSES)
    for record in zoo.registry.page(limit=1).records:
        with leaving_out(record.id):
            (sketch, *_) = zoo.registry.sketches(record.id)
            retrieve(zoo.registry, Target(sketch), k=1, distance=get_distance(DEFAULT_DISTANCE))


def ask(
    zoo: Zoo,
    raw: bytes,
    where: Filter,
    *,
    k: int,
    by: str = BY_DISTANCE,
    distance: str = DEFAULT_DISTANCE,
) -> dict[str, Any]:
    """The answer to a sketch.

    Args:
        zoo: where to look.
        raw: the sketch's file.
        where: conditions on the answers.
        k: how many.
        by: as of `retrieve`.
        distance: what ranks.
    """
    sketch = load_sketch(raw)
    # Of the default, those that are not asked for need no exact distance, unless they are to be reordered.
    options = {"nearest": k} if (distance, by) == (DEFAULT_DISTANCE, BY_DISTANCE) else {}
    measure = get_distance(distance, **options)
    if measure.needs_images:
        raise DatasetError(f"the distance {distance!r} looks at images, and a sketch has none: take another")
    check_excluded(zoo, where.exclude, None)
    # The distance itself and not its name: nothing is kept on the disk of what is asked once.
    return retrieve(zoo.registry, Target(sketch), k=k, by=by, distance=measure, where=where).to_json()


def rendered(document: Mapping[str, Any]) -> bytes:
    """A document as JSON, where a number that is not finite becomes null."""
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:  # there is one; to look for it each time takes longer than to write the document
        text = json.dumps(_finite(document), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
