"""What a distance said of a shortlist, kept: to solve transport anew costs a second query more than all else.

Most of it is the import of POT. What is kept depends on sketches alone, so other constraints, or another
supernet in the shortlist, give another key.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from snt_zoo.encoders.distances import DatasetDistance
from snt_zoo.encoders.target import Target
from snt_zoo.encoders.transport.coupling import ClassMatch
from snt_zoo.formats.tensor_cache import key_of, recall, remember
from snt_zoo.formats.tensor_file import dump_tensors
from snt_zoo.registry.ranking import Candidate, KeptCoupling, Nearest, nearest_sources

_TEXT = "nearest"


def kept_nearest(target: Target, found: Sequence[Candidate], measure: DatasetDistance) -> list[Nearest]:
    """As `nearest_sources`, which is asked once.

    Args:
        target: the user's data.
        found: the shortlist.
        measure: a distance between sketches, as it is by default, with couplings.
    """
    sketch = dump_tensors(target.sketch.to_tensors(), {"sketch": target.sketch.to_meta()})
    key = key_of("nearest", measure.name, sketch, *(candidate.record.digest for candidate in found))
    if (kept := recall(key)) is not None:
        rows = json.loads(kept.texts[_TEXT])
        return [
            Nearest(
                candidate,
                number,
                source,
                distance,
                level,
                KeptCoupling(tuple(ClassMatch(*each) for each in matches)),
            )
            for candidate, (number, source, distance, level, matches) in zip(found, rows, strict=True)
        ]
    best = nearest_sources(target, found, measure)
    if len(best) == len(found):  # else one could not be read, which is to be said the next time as well
        rows = [
            (
                one.number,
                one.source,
                one.distance,
                one.level,
                [
                    (each.target, each.source_class, each.mass, each.distance)
                    for each in (() if one.coupling is None else one.coupling.matches)
                ],
            )
            for one in best
        ]
        remember(key, {}, {_TEXT: json.dumps(rows)})
    return best
