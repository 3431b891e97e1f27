"""How long `snt-zoo sync` takes for a Hub of many supernets, and what it fetches.

    python -m benchmarks.sync --json --repos 1000

The Hub is the one of the tests, in a process of its own on loopback; the client is the real one. Each
repository is one of the starter zoo's supernets under another name, with its class means moved, so that
configs and sketches have the size of real ones. Three runs: nothing is known; nothing has changed; one
repository in a hundred has a new commit and one in two hundred is gone. The network is not in these
figures: a real Hub is further away, and limits how fast it may be asked.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks.document import document, write
from snt_zoo.formats.strict_json import dump_json
from snt_zoo.registry import Registry
from snt_zoo.registry.bundle.bundle import read_header
from snt_zoo.registry.bundle.folder import CARD, CONFIG, DATASET, MANIFEST, MODEL
from snt_zoo.registry.bundle.schema import BundleConfig
from snt_zoo.registry.bundle.sketch_file import dump_sketches
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.hub.hub_card import supernet_card
from snt_zoo.registry.hub.layout import HUB_CARD, KEPT_CARD
from snt_zoo.registry.hub.states import hashes_of
from snt_zoo.registry.starter import starter_bundles
from snt_zoo.zoo import Zoo
from tests.registry.hub.server import serving
from tests.registry.hub.state import Hub, front_matter

RESULT = Path(__file__).parent / "results" / "sync.json"


def repository(folder: Path, repo: str, seed: int) -> dict[str, bytes]:
    """The files of a repository: the supernet of a folder under another name, its class means moved."""
    config, sketches, _ = read_header(folder)
    generator = torch.Generator().manual_seed(seed)
    moved = [
        replace(one, means=one.means + 0.05 * torch.randn(one.means.shape, generator=generator))
        for one in sketches
    ]
    named = BundleConfig.from_data(config.model_dump() | {"name": f"s{seed}"})
    files = {
        CONFIG: named.to_bytes(),
        MODEL: (folder / MODEL).read_bytes(),
        DATASET: dump_sketches(moved),
        CARD: (folder / CARD).read_bytes(),
    }
    hashed = {name: hashes_of(content) for name, content in files.items()}
    entries = {name: {"sha256": one.sha256, "size": one.size} for name, one in hashed.items()}
    files[MANIFEST] = dump_json({"format_version": 1, "files": entries})
    return files | {KEPT_CARD: files[CARD], HUB_CARD: supernet_card(named, repo).encode()}


def serve(repos: int, pipe: Connection) -> None:
    """The process of the Hub: says its address, then changes some repositories each time it is told to."""
    torch.set_num_threads(1)
    bundles = starter_bundles()
    names = [f"user{number % 50}/s{number}" for number in range(repos)]
    hub = Hub()
    for number, repo in enumerate(names):
        files = repository(bundles[number % len(bundles)], repo, number)
        hub.seed(repo, files)
        front_matter(files[HUB_CARD].decode())  # a real Hub reads a card when it is pushed
    with serving(hub) as url:
        pipe.send(url)
        while pipe.recv() is not None:
            for number in range(0, repos, 100):
                files = repository(bundles[number % len(bundles)], names[number], repos + number)
                hub.seed(names[number], files)
            for number in range(1, repos, 200):
                del hub.repos[names[number]]
            pipe.send(url)


def run(repos: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows and summary of the three runs."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(repos, there))
    process.start()
    rows = []
    try:
        url = here.recv()
        with tempfile.TemporaryDirectory() as home:
            zoo = Zoo(Registry.open(home), hub=HubClient(endpoint=url, cache=Path(home) / "cache"))
            for name in ("nothing known", "nothing changed", "some changed"):
                if name == "some changed":
                    here.send("change")
                    here.recv()
                before, cpu = counts(url), time.process_time()
                report = zoo.sync()
                after = counts(url)
                rows.append(
                    {
                        "run": name,
                        "repositories": report.repositories,
                        "supernets": report.supernets,
                        "fetched": report.fetched,
                        "unchanged": report.unchanged,
                        "removed": report.removed,
                        "refused": len(report.refused),
                        "failed": len(report.failed),
                        "seconds": round(report.seconds, 3),
                        "processor_seconds": round(time.process_time() - cpu, 3),
                        "requests": after["requests"] - before["requests"] - 1,
                        "bytes": after["answered"] - before["answered"],
                        "weight_bytes": after["sent"].get(MODEL, 0) - before["sent"].get(MODEL, 0),
                    }
                )
            cache_bytes = (Path(home) / "hub.sqlite").stat().st_size
        here.send(None)
    finally:
        process.join(timeout=30)
        process.terminate()
    first, second, third = rows
    summary = {
        "repositories": repos,
        "first_seconds": first["seconds"],
        "second_seconds": second["seconds"],
        "changed_seconds": third["seconds"],
        "bytes_per_repository": round(first["bytes"] / repos),
        "requests_per_repository": round(first["requests"] / repos, 2),
        "weight_bytes": sum(row["weight_bytes"] for row in rows),
        "weight_bytes_if_pulled": sum(weights(repos)),
        "cache_bytes": cache_bytes,
    }
    return rows, summary


def weights(repos: int) -> list[int]:
    """Bytes of the weights that stayed on the Hub."""
    sizes = [(folder / MODEL).stat().st_size for folder in starter_bundles()]
    return [sizes[number % len(sizes)] for number in range(repos)]


def counts(url: str) -> dict[str, Any]:
    """What the Hub has counted so far; the asking itself is one request."""
    with urllib.request.urlopen(f"{url}/_counts", timeout=30) as answer:
        counted: dict[str, Any] = json.load(answer)
    return counted


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, and write the document where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repos", type=int, default=1000, help="repositories on the Hub")
    parser.add_argument("--json", action="store_true", help="print the document")
    parser.add_argument("--out", type=Path, help=f"also write it, as to {RESULT.name}")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    made = document(f"python -m benchmarks.sync --json --repos {chosen.repos}", *run(chosen.repos))
    if chosen.out is not None:
        write(chosen.out, made)
    if chosen.json:
        print(json.dumps(made, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        for row in made["rows"]:
            print(", ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
