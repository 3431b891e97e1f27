"""Sync: look at every repository of snt-zoo on the Hub, and keep what a query needs of each.

Of a supernet the manifest, the config and the sketches are fetched, a few ten KB; never weights. A repository
whose head is the commit that was seen last is not asked again. One that is refused is remembered with its
reason, and one that could not be reached is tried again next time: neither stops the rest.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from snt_zoo.encoders.embedding import DatasetEncoder
from snt_zoo.errors import BundleError, HubError, HubNotFoundError, HubUnavailableError, SntZooError
from snt_zoo.registry.bundle.bundle import bundle_id
from snt_zoo.registry.bundle.folder import CONFIG, DATASET, FILE_LIMITS, MANIFEST
from snt_zoo.registry.bundle.manifest import parse_manifest
from snt_zoo.registry.bundle.schema import BundleConfig
from snt_zoo.registry.bundle.sketch_file import check_sketches, load_sketches
from snt_zoo.registry.catalog.vectors import embeddings
from snt_zoo.registry.hub.cache import FILE, HubCache
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.hub.layout import TAG, kind_of
from snt_zoo.registry.hub.seen import Indexed, RemoteRecord
from snt_zoo.registry.hub.states import Listed

WORKERS = 8  # requests at a time: they wait for the network, and the Hub limits who asks more
MAX_SKETCHES_BYTES = 8_000_000  # 40 full sketches; a cache of thousands of repositories must stay small
_BATCH = 64  # repositories in one transaction
_PATIENCE = 10.0  # seconds, for another sync


@dataclass(frozen=True)
class SyncReport:
    """What a sync saw.

    Args:
        repositories: with the tag on the Hub.
        supernets: that can be ranked now.
        fetched: repositories that were looked at.
        unchanged: repositories at the commit that was seen before.
        removed: repositories that are gone from the Hub.
        refused: repositories whose content is refused, and why.
        failed: repositories that could not be reached, and why; the next sync tries again.
        bytes: fetched, listing not counted.
        seconds: wall clock.
    """

    repositories: int
    supernets: int
    fetched: int
    unchanged: int
    removed: int
    refused: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...]
    bytes: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys of the command line's contract."""
        named = {
            name: [{"repo": repo, "reason": reason} for repo, reason in pairs]
            for name, pairs in (("refused", self.refused), ("failed", self.failed))
        }
        return {**vars(self), **named}


def sync(
    client: HubClient,
    cache: HubCache,
    *,
    workers: int = WORKERS,
    on_repo: Callable[[int, str], None] | None = None,
) -> SyncReport:
    """Bring the cache up to what the Hub holds.

    Args:
        client: of the Hub.
        cache: beside the registry's catalog.
        workers: requests at a time.
        on_repo: called with the number of repositories done, and the last one's name.

    Raises:
        HubUnavailableError: the Hub cannot be reached; what was seen before stays.
        HubError: another process is at it.
    """
    start = time.perf_counter()
    with _alone(cache.path):
        # The Hub first: one that cannot be reached leaves nothing that looks like a sync.
        pages = client.listing(TAG)
        first = list(itertools.islice(pages, 1))
        cache.prepare()
        cache.embed_anew()
        seen, listed, fresh = cache.commits(), set[str](), 0
        failed: list[tuple[str, str]] = []
        size = done = 0

        def changed() -> Iterator[Listed]:
            """What is to be looked at, as the pages come: names alone are kept of the others."""
            nonlocal fresh
            for one in itertools.chain(first, pages):
                is_new = one.repo not in listed  # a page moves on when another repository comes
                listed.add(one.repo)
                if is_new and seen.get(one.repo) != one.commit:
                    fresh += 1
                    yield one

        def look(one: Listed) -> Indexed | tuple[str, str]:
            return _look(client, one, cache.encoder)

        for batch in _batches(_concurrently(look, changed(), workers)):
            kept = [found for found in batch if isinstance(found, Indexed)]
            failed += [found for found in batch if not isinstance(found, Indexed)]
            cache.put(kept)
            size += sum(found.size for found in kept)
            done += len(batch)
            if on_repo is not None and kept:
                on_repo(done, kept[-1].repo)
        gone = [repo for repo in seen if repo not in listed]
        cache.remove(gone)
        if len(failed) < fresh or not fresh:
            cache.note_synced()
        return SyncReport(
            repositories=len(listed),
            supernets=cache.count(),
            fetched=fresh,
            unchanged=len(listed) - fresh,
            removed=len(gone),
            refused=tuple(cache.refused()),
            failed=tuple(sorted(failed)),
            bytes=size,
            seconds=time.perf_counter() - start,
        )


def _look(client: HubClient, one: Listed, encoder: DatasetEncoder) -> Indexed | tuple[str, str]:
    """What a repository holds; or its name and why it cannot be reached."""
    read = 0

    def fetch(name: str, limit: int) -> bytes:
        nonlocal read
        raw = client.read(one.repo, one.commit, name, limit=limit)
        read += len(raw)
        return raw

    try:
        if kind_of(one.names, what=one.repo) == "model":
            return Indexed(one.repo, one.commit, 0, reason="a derived model")
        manifest = parse_manifest(fetch(MANIFEST, FILE_LIMITS[MANIFEST]))
        raw = fetch(CONFIG, FILE_LIMITS[CONFIG])
        manifest.check_bytes(CONFIG, raw)
        config = BundleConfig.from_bytes(raw)
        raw = fetch(DATASET, min(FILE_LIMITS[DATASET], MAX_SKETCHES_BYTES))
        manifest.check_bytes(DATASET, raw)
        sketches = load_sketches(raw, backbone=config.backbone)
        check_sketches(config, sketches)
        vectors = embeddings(sketches, encoder)
        id = bundle_id(config, manifest.digest)
        record = RemoteRecord.of(config, id=id, digest=manifest.digest, repo=one.repo, commit=one.commit)
        return Indexed(one.repo, one.commit, read, record, config.backbone, raw, vectors)
    except (HubUnavailableError, HubNotFoundError) as error:
        return one.repo, str(error)  # it may be there again, or another commit may
    except (BundleError, HubError) as error:
        return Indexed(one.repo, one.commit, read, reason=str(error), refused=True)
    except SntZooError as error:  # the encoder made nothing of its sketches
        return Indexed(one.repo, one.commit, read, reason=str(error), refused=True)


def _concurrently(
    look: Callable[[Listed], Indexed | tuple[str, str]], work: Iterator[Listed], workers: int
) -> Iterator[Indexed | tuple[str, str]]:
    """Results as they come, with a bounded number under way: memory does not grow with the Hub."""
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="snt-zoo-sync") as pool:
        running: set[Future[Indexed | tuple[str, str]]] = set()
        while True:
            running |= {pool.submit(look, one) for one in itertools.islice(work, 2 * workers - len(running))}
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


def _batches(
    found: Iterator[Indexed | tuple[str, str]],
) -> Iterator[list[Indexed | tuple[str, str]]]:
    while batch := list(itertools.islice(found, _BATCH)):
        yield batch


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    try:
        with FileLock(path.with_name(f"{FILE}.lock"), timeout=_PATIENCE):
            yield
    except Timeout as error:
        raise HubError(f"another process is syncing {path}: wait for it") from error
