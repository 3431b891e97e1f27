"""What `benchmarks.learned` learns from: outcomes, the sketches of their tasks, and what is known of
networks.

Sketches of tasks, profiles of networks and distances between datasets take minutes, so they are kept in a
folder. Parents: datasets that share a parent or a concept are relatives, and so are all views of them; a
network that was trained on a relative of a target is no candidate for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from snt_zoo.data import open_dataset
from snt_zoo.encoders.changes import changed
from snt_zoo.encoders.network_facts import NetworkFacts
from snt_zoo.encoders.outcomes import Outcome
from snt_zoo.encoders.profile import VERSION, profile
from snt_zoo.encoders.sketch import Sample, Sketch, sketch
from snt_zoo.encoders.transport import class_distance
from snt_zoo.encoders.views import view_sketch, views
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.genotype import Genotype
from snt_zoo.registry.registry import Registry

TaskKey = tuple[str, str, str]
"""Target, change, view."""
NetworkKey = tuple[str, str]
"""Bundle, kind of genotype."""


@dataclass(frozen=True, eq=False)
class Networks:
    """What is known of the networks, one row each.

    Args:
        keys: bundle and kind. names: of the supernets. card: float32 ``N x c``: log parameters, log
        multiply-accumulates, own accuracy, whether that is known,
            log number of sources, whether it takes more than 32 pixels, and one for each space.
        topology: float32 ``N x o``: share of each kind of operation.
        profiles: float32 ``N x DIM``.
        sources: for each the numbers of its sources in `sketches`.
        sketches: of all sources, each once.
    """

    keys: list[NetworkKey]
    names: list[str]
    facts: list[NetworkFacts]
    card: Tensor
    topology: Tensor
    profiles: Tensor
    sources: list[list[int]]
    sketches: list[Sketch]


@dataclass(frozen=True, eq=False)
class Tasks:
    """The tasks, one row each.

    Args:
        keys: target, change and view.
        sketches: of them.
        parent: of each.
    """

    keys: list[TaskKey]
    sketches: list[Sketch]
    parent: list[str]

    @cached_property
    def number(self) -> dict[TaskKey, int]:
        """Row by key."""
        return {key: row for row, key in enumerate(self.keys)}


def task_sketches(refs: Sequence[str], changes: Sequence[str], cache: Path) -> dict[TaskKey, Sketch]:
    """The sketch of every view of every dataset."""
    found: dict[TaskKey, Sketch] = {}
    for ref in refs:
        for change in changes:
            name = Path(ref).stem
            path = cache / "sketches" / f"{name}.{change or 'plain'}.safetensors"
            if not path.is_file():
                made = _sketched(ref, change)
                tensors = {
                    f"{view}/{key}": t for view, s in made.items() for key, t in s.to_tensors().items()
                }
                path.parent.mkdir(parents=True, exist_ok=True)
                save_file(tensors, path, {view: s.to_meta() for view, s in made.items()})
            for view, each in _read_sketches(path).items():
                found[name, change, view] = each
    return found


def _sketched(ref: str, change: str) -> dict[str, Sketch]:
    data = changed(open_dataset(ref), change)
    sample = Sample.of(data)
    whole = sketch(data, sample=sample)
    features, _, _ = sample.projected()
    return {view.name: view_sketch(view, features, sample.labels, whole) for view in views(sample.labels)}


def _read_sketches(path: Path) -> dict[str, Sketch]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        meta = file.metadata()
    tensors = load_file(path)
    return {
        view: Sketch.from_tensors(
            {key.split("/", 1)[1]: t for key, t in tensors.items() if key.split("/", 1)[0] == view}, text
        )
        for view, text in meta.items()
    }


def describe_networks(registry: Registry, outcomes: Iterable[Outcome], cache: Path) -> Networks:
    """All networks of which there are outcomes, and that are in the registry."""
    genotypes: dict[NetworkKey, str] = {}
    costs: dict[NetworkKey, tuple[int, int]] = {}
    here = {record.id: record for record in registry.list()}
    for one in outcomes:
        if one.bundle in here and not one.budget:
            genotypes[one.bundle, one.kind] = one.genotype
            costs[one.bundle, one.kind] = one.params, one.macs
    keys = sorted(genotypes)
    profiles = _profiles(registry, genotypes, cache)
    operations = sorted({_plain(edge[2]) for text in genotypes.values() for edge in _edges(text)})
    sketches: dict[str, tuple[int, Sketch]] = {}
    sources: dict[str, list[int]] = {}
    for id in sorted({bundle for bundle, _ in keys}):
        sources[id] = []
        for each in registry.sketches(id):
            number, _ = sketches.setdefault(each.name, (len(sketches), each))
            sources[id].append(number)
    known, topology = [], []
    for key in keys:
        record = here[key[0]]
        known.append(
            NetworkFacts(
                digest=record.digest[:16],
                params=costs[key][0],
                macs=costs[key][1],
                accuracy=record.val_accuracy,
                sources=len(record.sources),
                input_size=record.config.network.input_size,
                profile=profiles[key],
            )
        )
        edges = [_plain(edge[2]) for edge in _edges(genotypes[key])]
        topology.append([edges.count(name) / max(len(edges), 1) for name in operations])
    return Networks(
        keys,
        [here[bundle].name for bundle, _ in keys],
        known,
        torch.stack([each.card() for each in known]).float(),
        torch.tensor(topology),
        torch.stack([profiles[key] for key in keys]),
        [sources[bundle] for bundle, _ in keys],
        [each for _, each in sketches.values()],
    )


def _edges(text: str) -> list[list[str]]:
    return [edge for edges in json.loads(text)["cells"].values() for edge in edges]


def _plain(operation: str) -> str:
    """An operation by what it does, whatever its space calls it."""
    kinds = (("none", "none"), ("skip", "skip"), ("pool", "pool"), ("k7", "7"), ("7x7", "7"), ("k5", "5"))
    more = (("5x5", "5"), ("1x1", "1"), ("k3", "3"), ("3x3", "3"))
    return next((name for part, name in (*kinds, *more) if part in operation), "other")


def _profiles(
    registry: Registry, genotypes: Mapping[NetworkKey, str], cache: Path
) -> dict[NetworkKey, Tensor]:
    path = cache / f"profiles.{VERSION}.safetensors"
    known = load_file(path) if path.is_file() else {}
    missing = [key for key in sorted(genotypes) if "/".join(key) not in known]
    supernet, id = None, ""
    for key in missing:
        if key[0] != id:
            id, supernet = key[0], registry.get(key[0]).supernet
        assert supernet is not None
        network = DerivedModel.inherit(supernet, Genotype.from_json(json.loads(genotypes[key])))
        known["/".join(key)] = profile(network)
    if missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(known, path)
    return {key: known["/".join(key)] for key in genotypes}


def distances(left: Sequence[Sketch], right: Sequence[Sketch], cache: Path) -> Tensor:
    """class-ot between all pairs, float32 ``n x m``, kept in the folder."""
    rows, columns = [_name(one) for one in left], [_name(one) for one in right]
    path = cache / "class_ot.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    before = len(known)
    out = torch.zeros(len(left), len(right))
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            key = "-".join(sorted((rows[i], columns[j])))
            if key not in known:
                known[key] = class_distance(a, b).distance
            out[i, j] = known[key]
    if len(known) > before:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known))
    return out


def _name(sketch: Sketch) -> str:
    return hashlib.sha256(sketch.to_meta().encode() + sketch.means.numpy().tobytes()).hexdigest()[:16]
