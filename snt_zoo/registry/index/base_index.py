"""What is done to a FAISS index with ids of our own, be it flat or of inverted lists."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from snt_zoo.registry.catalog.vectors import Ids, Vectors

Members = NDArray[np.bool_]
"""Whether an id is one of a set, for every id up to the largest."""

_wrapped: Any = faiss  # the stubs of faiss do not know its Python wrappers of constructors


def lists_of(base: faiss.Index) -> int:
    """Number of inverted lists; 0 if the index is flat."""
    return int(base.nlist) if isinstance(base, faiss.IndexIVF) else 0


def probes_of(base: faiss.Index) -> int:
    """How many lists a query looks into; 0 if the index is flat."""
    return int(base.nprobe) if isinstance(base, faiss.IndexIVF) else 0


def make_base(dim: int, lists: int, sample: Vectors) -> faiss.Index:
    """An empty index for inner products.

    Args:
        dim: of the vectors.
        lists: number of inverted lists; 0 for a flat index.
        sample: ``n x dim``, drawn from what will be added, to be clustered; not used for a flat index.
    """
    if lists == 0:
        return faiss.IndexIDMap2(faiss.IndexFlatIP(dim))
    # Half floats: the rounding moves a cosine by some 10⁻⁵, where 8 bits move it by 10⁻³, at half the
    # memory of floats; and of these three they are the fastest to compare (F16C).
    base = faiss.index_factory(dim, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
    base.train(sample)
    return base


def search(
    base: faiss.Index, queries: Vectors, k: int, *, probes: int = 0, members: Members | None = None
) -> tuple[Ids, Vectors]:
    """The nearest vectors of each query.

    Args:
        base: the index.
        queries: ``n x dim``.
        k: how many, at least 1.
        probes: lists to look into; for a flat index not used.
        members: ids to choose from; None for all.

    Returns:
        Ids and scores, each ``n x k``, best first; where there are fewer than ``k``, the last ids are -1.
    """
    # Held by a name until the search is done: faiss keeps a bare pointer to it.
    selector = None if members is None else _selector(members)
    parameters = (
        _wrapped.SearchParametersIVF(sel=selector, nprobe=probes)
        if lists_of(base)
        else _wrapped.SearchParameters(sel=selector)
    )
    with _one_thread() if len(queries) == 1 else contextlib.nullcontext():
        scores, ids = base.search(np.ascontiguousarray(queries), k, params=parameters)
    return ids, scores


def keep_only(base: faiss.Index, members: Members) -> None:
    """Remove everything else; not from an index that is mapped from a file."""
    kept = _selector(members)
    base.remove_ids(faiss.IDSelectorNot(kept))


def ids_in(base: faiss.Index) -> Ids:
    """The ids of everything in it, in no particular order."""
    if isinstance(base, faiss.IndexIDMap2):
        found: Ids = faiss.vector_to_array(base.id_map)
        return found
    assert isinstance(base, faiss.IndexIVF) and base.invlists is not None
    lists = base.invlists
    parts = [
        faiss.rev_swig_ptr(lists.get_ids(number), size)
        for number in range(base.nlist)
        if (size := lists.list_size(number))
    ]
    return np.concatenate([np.empty(0, np.int64), *parts])


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """For a single query: where a core is busy otherwise, faiss's threads wait for each other, and a flat
    search of 10⁵ vectors takes seven to nine times the processor time (23 ms against 3)."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _selector(members: Members) -> faiss.IDSelector:
    made: faiss.IDSelector = _wrapped.IDSelectorBitmap(np.packbits(members, bitorder="little"))
    return made
