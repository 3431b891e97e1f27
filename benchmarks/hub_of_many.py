"""A sync with a Hub of very many repositories, whose pages are made in memory.

The cache is filled first, as earlier syncs would have: each supernet with a vector and figures of its own,
but without sketches, which would fill a disk. A repository that has changed is read: it is always the same
tiny supernet. No network is in these figures: a real Hub gives a thousand repositories in a page.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tiny_bundles import BACKBONE, sketch, write_tiny_bundle
from snt_zoo.encoders.embedding import EMBEDDING_DIM, MOMENTS
from snt_zoo.registry.bundle.folder import FILE_LIMITS
from snt_zoo.registry.hub.cache import HubCache
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.hub.layout import HUB_CARD
from snt_zoo.registry.hub.seen import Indexed, RemoteRecord
from snt_zoo.registry.hub.states import Listed
from snt_zoo.registry.hub.sync import sync

OWNERS = 1000
CHANGED = 1000  # one repository in so many
_BATCH = 10_000


class ManyRepositories(HubClient):
    """A Hub whose repositories are numbers.

    Args:
        count: of repositories.
        folder: of the bundle that each holds.
    """

    def __init__(self, count: int, folder: Path) -> None:
        super().__init__(endpoint="http://127.0.0.1:1")
        self.count, self.changed = count, False
        self._files = {name: (folder / name).read_bytes() for name in FILE_LIMITS}

    def listing(self, tag: str) -> Iterator[Listed]:
        """All of them; of those that changed with another commit."""
        names = frozenset((*self._files, HUB_CARD))
        for number in range(self.count):
            new = self.changed and number % CHANGED == 0
            yield Listed(_repo(number), _commit(number + new * self.count), names)

    def read(self, repo: str, commit: str, name: str, *, limit: int) -> bytes:
        """A file of the one bundle."""
        return self._files[name]


def sync_costs(count: int, place: Path) -> Iterator[dict[str, Any]]:
    """A row for each thing that is done with so many repositories."""
    client = ManyRepositories(count, write_tiny_bundle(place / "bundle", seed=0, name="tiny"))
    cache = HubCache(place, endpoint=client.endpoint, encoder=MOMENTS)
    cache.prepare()
    for start in range(0, count, _BATCH):
        cache.put(_seen(start, min(start + _BATCH, count)))
    cache.note_synced()
    for what in ("sync, nothing changed", "sync, one in a thousand changed"):
        client.changed = "one" in what
        yield {"what": what} | _cost(lambda: sync(client, cache))
    yield {"what": "list what was seen"} | _cost(cache.list)
    yield {"what": "search what was seen"} | _cost(lambda: cache.search(sketch(7), 32))


def _cost(work: Any) -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, started = time.perf_counter(), time.process_time()
    work()
    wall, processor = time.perf_counter() - start, time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "ms": round(1e3 * wall),
        "processor_ms": round(1e3 * processor),
        "more_memory_mb": round((peak - before) / 1024),
    }


def _seen(start: int, end: int) -> Iterator[Indexed]:
    vectors = np.random.default_rng(start).standard_normal((end - start, EMBEDDING_DIM), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for number, vector in zip(range(start, end), vectors, strict=True):
        repo, commit, digest = _repo(number), _commit(number), f"{number:064x}"
        record = RemoteRecord(
            id=f"seen-{digest[:8]}",
            name="seen",
            digest=digest,
            space="nas_bench_201",
            params=number,
            macs=number,
            sources=("shapes",),
            tags=("tiny",),
            licence="Apache-2.0",
            repo=repo,
            commit=commit,
            source_licences=("CC0-1.0",),
            network="{}",
            genotype="{}",
        )
        yield Indexed(repo, commit, 1, record, BACKBONE, b"none", vector[None])


def _repo(number: int) -> str:
    return f"owner{number % OWNERS}/s{number}"


def _commit(number: int) -> str:
    return f"{number:040x}"
