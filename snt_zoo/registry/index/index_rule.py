"""Which FAISS index holds how many vectors: flat up to 10⁵, inverted lists of half floats beyond.

The rule is what `python -m benchmarks.index` chose; its figures stand in `docs/figures.md`. Inverted lists
(Sivic and Zisserman 2003; Jégou, Douze and Schmid 2011) are the cells of a k-means clustering, and a query
looks into the nearest few of them. How many is not a constant but measured when the lists are made: as many
as find what all of them would. Clustered embeddings need a few hundredths of the lists, vectors without any
structure need most of them.
"""

from __future__ import annotations

import math

import faiss
import numpy as np

from snt_zoo.registry.catalog.vectors import Ids, Vectors
from snt_zoo.registry.index.base_index import lists_of, search

FLAT_LIMIT = 100_000  # an exact search of more would take over 3 ms
CALIBRATED_K = 32  # answers of a query for which the number of probed lists is measured
TARGET_RECALL = 0.99  # of them; leaves a margin to 0.98
_SAMPLES_PER_LIST = 50  # for k-means; faiss wants 39 or more
_QUERIES = 200


def lists_for(count: int) -> int:
    """Number of inverted lists for so many vectors; 0 is a flat index.

    About 2·√n, as a power of two, so that it changes each time a registry has grown fourfold.
    """
    return 0 if count <= FLAT_LIMIT else 2 ** round(math.log2(2 * math.sqrt(count)))


def sample_size(lists: int) -> int:
    """How many vectors to cluster, and to calibrate with."""
    return max(_SAMPLES_PER_LIST * lists, 2 * _QUERIES)


def calibrate(base: faiss.Index, sample: Vectors) -> None:
    """Set how many lists a query looks into; it is written and read with the index.

    The smallest number, in steps of a third to a half, whose recall of the `CALIBRATED_K` nearest is
    `TARGET_RECALL` in the mean over up to 200 queries. Each is a vector half the way to being mixed with
    another one, for a query is like no vector of the registry: asked about themselves, vectors are found
    in fewer lists than new data need (0.95 of the nearest were found where 0.99 had been asked for).

    Args:
        base: with everything in it; a flat one stays as it is.
        sample: ``n x dim``, of its vectors, at least two.
    """
    if not isinstance(base, faiss.IndexIVF):
        return
    lists, count = lists_of(base), min(_QUERIES, len(sample) // 2)
    picked = sample[:: len(sample) // (2 * count)]
    queries = picked[:count] + 0.5 * picked[count : 2 * count]
    exact = search(base, queries, CALIBRATED_K, probes=lists)[0]
    base.nprobe = next(
        (p for p in _steps(lists) if _recall(_found(base, queries, p), exact) >= TARGET_RECALL), lists
    )


def _steps(lists: int) -> list[int]:
    powers = [2**i for i in range(int(math.log2(lists)) + 1)]
    return sorted({p for power in powers for p in (power, 3 * power // 2) if p < lists})


def _found(base: faiss.Index, queries: Vectors, probes: int) -> Ids:
    return search(base, queries, CALIBRATED_K, probes=probes)[0]


def _recall(found: Ids, exact: Ids) -> float:
    shared = sum(int(np.isin(b[b >= 0], a).sum()) for a, b in zip(found, exact, strict=True))
    return shared / max(1, int((exact >= 0).sum()))
