"""Train a predictor of accuracy from outcomes: the one that ships, or a registry's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from snt_zoo.data import open_dataset
from snt_zoo.encoders.network_facts import NetworkFacts
from snt_zoo.encoders.outcomes import PROBE, Outcome, read_outcomes, read_table
from snt_zoo.encoders.predictor import Predictor
from snt_zoo.encoders.predictor_file import load_predictor
from snt_zoo.encoders.predictor_file import save_predictor as save_predictor
from snt_zoo.encoders.profile import profile
from snt_zoo.encoders.sketch import Sketch, sketch
from snt_zoo.encoders.transport import class_distances
from snt_zoo.encoders.views import WHOLE
from snt_zoo.errors import ConfigError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.variants import OWN
from snt_zoo.registry.predicting import predictor_of
from snt_zoo.registry.registry import Registry
from snt_zoo.version import __version__


def train_predictor(
    registry: Registry,
    refs: Sequence[str],
    outcomes: Iterable[Outcome],
    *,
    parents: Mapping[str, str] | None = None,
    seed: int = 0,
    on_dataset: Callable[[int, int], None] = lambda done, total: None,
) -> Predictor:
    """Fit a predictor to the heads that were measured on some datasets.

    Args:
        registry: that has the supernets; outcomes of others are left out. refs: the datasets, as
        `open_dataset` takes them; outcomes on others are left out. outcomes: as `measure` writes them.
        parents: of datasets and sources by name; one that is not there is its own. A supernet that was
        trained
            on a relative of a dataset says nothing of how supernets do on new ones, so that pair is left out.
        seed: of what is drawn.
        on_dataset: called with how many datasets were sketched, of how many.

    Raises:
        ConfigError: there are outcomes on fewer than two of the datasets.
    """
    parent = (lambda name: name) if parents is None else (lambda name: parents.get(name, name))
    heads = _heads(outcomes)
    measured = {target for target, _ in heads}
    wanted = [ref for ref in refs if Path(ref).stem in measured]
    names = [Path(ref).stem for ref in wanted]
    records = {record.digest[:16]: record for record in registry.list()}
    digests = sorted({digest for _, digest in heads} & records.keys())
    if len(names) < 2 or not digests:
        raise ConfigError(
            f"a predictor needs outcomes of this registry's supernets on at least two datasets, there are "
            f"{len(names)}: run `snt-zoo encoder measure` on more"
        )
    networks, sources = [], []
    for digest in digests:
        bundle = registry.get(records[digest].id)
        record = records[digest]
        networks.append(
            NetworkFacts(
                digest=digest,
                params=record.params,
                macs=record.macs,
                accuracy=record.val_accuracy,
                sources=len(record.sources),
                input_size=bundle.supernet.config.input_size,
                profile=profile(DerivedModel.inherit(bundle.supernet)),
            )
        )
        sources.append(bundle.sketches)
    every = {each.name: each for some in sources for each in some}
    table = torch.full((len(names), len(digests) + 1), torch.nan, dtype=torch.float64)
    asked = torch.ones(len(names), dtype=torch.float64)
    distances = torch.full((len(names), len(digests)), torch.inf, dtype=torch.float64)
    sketches: list[Sketch] = []
    for row, (ref, name) in enumerate(zip(wanted, names, strict=True)):
        sketches.append(sketch(open_dataset(ref)))
        others = [each for each in every.values() if parent(each.name) != parent(name)]
        near = dict(
            zip(
                [each.name for each in others],
                [found.distance for found in class_distances(sketches[-1], others)],
                strict=True,
            )
        )
        for column, digest in enumerate([*digests, PROBE]):
            one = heads.get((name, digest))
            own = () if digest == PROBE else sources[column]
            if own and any(each.name not in near for each in own):
                continue  # it saw a relative
            if own:
                distances[row, column] = min(near[each.name] for each in own)
            if one is not None and (accuracy := one.accuracy) is not None:
                asked[row] = count = one.val_images + one.test_images
                share = torch.tensor((accuracy * count + 0.5) / (count + 1), dtype=torch.float64)
                table[row, column] = share.logit()
        on_dataset(row + 1, len(names))
    used = {name for row, name in enumerate(names) if bool(table[row].isfinite().any())}
    card: dict[str, Any] = {
        "datasets": sorted(used),
        "parents": len({parent(name) for name in used}),
        "supernets": [records[digest].name for digest in digests],
        "outcomes": int(table.isfinite().sum()),
        "measured_by": dict(Counter(one.code_version for one in heads.values())),
        "code_version": __version__,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seed": seed,
    }
    return Predictor.fit(
        sketches, [parent(name) for name in names], networks, table, asked, distances, card=card, seed=seed
    )


def read_file(path: Path) -> Iterable[Outcome]:
    """The outcomes of a file of JSON lines, or of a Parquet file."""
    return read_table(path) if path.suffix == ".parquet" else read_outcomes(path)


def open_predictor(home: Path | None, path: Path | None) -> Predictor:
    """The predictor of a file, or the one that queries of a registry use.

    Raises:
        ConfigError: there is none, or it cannot be read.
        TensorError: likewise.
    """
    if path is not None:
        return load_predictor(path)
    found = predictor_of(Registry.place(home))
    if found is None:
        raise ConfigError("no predictor ships with this package: train one with `snt-zoo encoder train`")
    return found


def _heads(outcomes: Iterable[Outcome]) -> dict[tuple[str, str], Outcome]:
    """The logistic heads of supernets' own networks on whole datasets, by dataset and digest; the newest."""
    found = {}
    for one in outcomes:
        if (one.method, one.view, one.change, one.kind) == ("head", WHOLE, "", OWN):
            found[one.target, PROBE if one.name == PROBE else one.digest] = one
    return found
