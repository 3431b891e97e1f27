"""From datasets to a bundle: pretrain a supernet, sketch its sources, write both with their provenance."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.data.joining import join
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE
from snt_zoo.encoders.embedding import MOMENTS
from snt_zoo.encoders.sketch import Sketch, sketch
from snt_zoo.errors import BundleError
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.distributed import Team
from snt_zoo.networks.latency.table import LatencyTable
from snt_zoo.networks.starting import check_space, starting_supernet
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.registry.bundle.bundle import check_target, read_bundle, write_bundle
from snt_zoo.registry.bundle.schema import BundleConfig
from snt_zoo.registry.bundle.weights import DtypeName, as_stored, describe
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import remove_checkpoint
from snt_zoo.search.pretrain import PretrainResult, accuracies, default_recipe, untrained
from snt_zoo.search.pretrain import pretrain as train
from snt_zoo.search.run import EpochRecord, OnEpoch, RunOptions
from snt_zoo.version import __version__

DEFAULT_PRETRAINING = Budget(epochs=60)


@dataclass(frozen=True)
class Provenance:
    """Where a source comes from.

    Args:
        source: place or package.
        licence: SPDX identifier or a line of text.
        licence_url: where the licence can be read.
        attribution: the line that the licence asks for; the card prints it.
    """

    source: str = "not stated"
    licence: str = "not stated"
    licence_url: str | None = None
    attribution: str | None = None


@dataclass(frozen=True)
class Pretrained:
    """A new bundle.

    Args:
        id: that it has in any registry.
        out: its folder.
        params: weights of the supernet.
        metrics: validation and test accuracy along the path of its genotype.
        history: a record for each epoch.
        seconds: wall clock of the training.
        search: how its architecture was found; plain data.
        warnings: what the user should know about that.
    """

    id: str
    out: Path
    params: int
    metrics: Mapping[str, float]
    history: tuple[EpochRecord, ...]
    seconds: float
    search: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys of the command line's contract."""
        return {
            "id": self.id,
            "params": self.params,
            "metrics": dict(self.metrics),
            "seconds": self.seconds,
            "out": str(self.out),
            "history": [asdict(record) for record in self.history],
            "search": dict(self.search),
            "warnings": list(self.warnings),
        }


def pretrain(
    datasets: Sequence[ImageDataset],
    *,
    out: str | Path,
    space: str = "nas_bench_201",
    init: str | None = None,
    input_size: int | None = None,
    hyperparameters: Mapping[str, int] | None = None,
    epochs: int | None = None,
    budget: str | float | None = None,
    name: str | None = None,
    description: str = "",
    licence: str = "not stated",
    provenance: Sequence[Provenance] | None = None,
    tags: Sequence[str] = (),
    dtype: DtypeName = "float32",
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    recipe: Mapping[str, Any] | None = None,
    max_params: int | None = None,
    max_macs: int | None = None,
    max_latency: float | None = None,
    latency_table: str | Path | None = None,
    backbone: str = DEFAULT_BACKBONE,
    on_epoch: OnEpoch | None = None,
) -> Pretrained:
    """Pretrain a supernet on one or several datasets and write its bundle.

    Args:
        datasets: the sources; of several each has a head of its own (docs/bundle.md).
        out: folder of the bundle; must not exist, or be empty.
        space: search space.
        init: a starting point (`snt_zoo.networks.starting.STARTS`) in place of fresh weights, as
            `mobilenet_v2`.
        input_size: side of the images, in pixels; by default 32, or what suits the starting point.
        hyperparameters: of the space, where they differ from its defaults.
        epochs: of training; 60 if neither epochs nor budget are given.
        budget: wall clock in place of epochs.
        name: of the supernet; by default made of the space's and the sources' names.
        description: a sentence for the card.
        licence: of the bundle.
        provenance: of each source.
        tags: words to find it by.
        dtype: of the stored weights, `float32` or `float16`.
        seed: decides everything that is random.
        device: `auto`, `cpu`, `cuda`, ….
        resume: go on from an interrupted run with the same `out`.
        recipe: fields of `Recipe` to change; the others keep what is right for a pretraining in that space.
        max_params: most weights of the network that the supernet derives to.
        max_macs: most multiply-accumulates of it for one image.
        max_latency: most seconds that it may take for one image, as the table predicts them.
        latency_table: file of a table of latencies (`snt-zoo bench --table`), which a bound on them needs;
            with one the report tells the latency of the network.
        backbone: makes the sketches.
        on_epoch: called with the record of each epoch.

    Raises:
        BundleError: `out` is in use, or the bundle cannot be written.
        ConfigError: the space, its hyperparameters and the starting point do not go together; or no such
            field of a recipe, or a value of another type.
        InfeasibleError: no network of the search space is that small, or that quick.
        LatencyTableError: a bound on the latency, and no table.
        UnknownComponentError: no such searcher, selection or regulariser.
    """
    out = Path(out)
    working = out.parent / f".{out.name}.run"  # a bundle's folder holds the bundle's files only
    options = RunOptions(
        Budget.of(budget, epochs, default=DEFAULT_PRETRAINING),
        limits=Limits(
            max_params,
            max_macs,
            max_latency,
            None if latency_table is None else LatencyTable.read(Path(latency_table)),
        ),
        seed=seed,
        device=device,
        folder=working,
        resume=resume,
        on_epoch=on_epoch,
    )
    start = _start(space, init, input_size, hyperparameters or {}, seed)
    chosen = default_recipe(start).override(recipe or {})
    data = join(datasets)
    sketches = tuple(sketch(source, backbone=backbone) for source in datasets)
    config_of = functools.partial(
        _bundle_config,
        datasets=datasets,
        sketches=sketches,
        name=name or _slug(f"{space}-{'-'.join(source.name for source in datasets)}"),
        description=description,
        licence=licence,
        provenance=provenance or [Provenance()] * len(datasets),
        tags=tags,
        dtype=dtype,
        init=init,
    )
    # What the format refuses shows now, not after the training; so does where nothing can be written.
    config_of(untrained(data, start, options, recipe=chosen))
    if Team.current().first:
        check_target(out)
    trained = train(data, start, options, start_name=init or "scratch", recipe=chosen)
    trained = _as_stored(trained, data, dtype)
    config = config_of(trained)
    return Pretrained(
        id=Team.current().tell(_written(trained, config, sketches, out, working)),
        out=out,
        params=config.supernet_params,
        metrics={
            "val_accuracy": trained.val_accuracy,
            "test_accuracy": trained.test_accuracy,
        },
        history=trained.history,
        seconds=trained.seconds,
        search=trained.search,
        warnings=trained.warnings,
    )


def _start(
    space: str, init: str | None, input_size: int | None, hyperparameters: Mapping[str, int], seed: int
) -> NetworkConfig | Supernet:
    """What the training begins with."""
    if init is not None:
        check_space(init, space)
        return starting_supernet(init, input_size=input_size, hyperparameters=hyperparameters, seed=seed)
    start = NetworkConfig(space=space, hyperparameters=dict(hyperparameters))
    return start if input_size is None else replace(start, input_size=input_size)


def _written(
    trained: PretrainResult, config: BundleConfig, sketches: Sequence[Sketch], out: Path, working: Path
) -> str:
    """The id of the bundle, which the first of several processes writes; nothing in the others."""
    if not Team.current().first:
        return ""
    try:
        write_bundle(out, supernet=trained.supernet, config=config, sketches=sketches)
    except BundleError as error:
        raise BundleError(f"{error}; the run is kept in {working}, and --resume ends it") from error
    remove_checkpoint(working)
    if working.is_dir():
        working.rmdir()
    return read_bundle(out).id


def _bundle_config(
    trained: PretrainResult,
    *,
    datasets: Sequence[ImageDataset],
    sketches: Sequence[Sketch],
    name: str,
    description: str,
    licence: str,
    provenance: Sequence[Provenance],
    tags: Sequence[str],
    dtype: DtypeName,
    init: str | None,
) -> BundleConfig:
    """The `config.json` of a newly pretrained supernet; raises `ConfigError`."""
    sources: list[dict[str, Any]] = [
        {
            "name": data.name,
            "source": origin.source,
            "licence": origin.licence,
            "licence_url": origin.licence_url,
            "attribution": origin.attribution,
            "classes": data.num_classes,
            "train_images": len(data.train),
            "fingerprint": data.fingerprint,
        }
        for data, origin in zip(datasets, provenance, strict=True)
    ]
    for entry, found in zip(sources, trained.sources, strict=False):
        entry |= {"val_accuracy": found.val, "test_accuracy": found.test}
    recipe: dict[str, Any] = {}
    for key, value in asdict(trained.recipe).items():
        recipe[key] = " ".join(map(str, value)) if isinstance(value, tuple) else value
    return BundleConfig.from_data(
        {
            **describe(trained.supernet, dtype=dtype),
            "name": name,
            "description": description,
            "class_names": list(join(datasets).class_names),
            "metrics": {"val_accuracy": trained.val_accuracy, "test_accuracy": trained.test_accuracy}
            | (
                {}
                if trained.paths is None
                else {
                    "supernet_val_accuracy": trained.paths.val,
                    "supernet_test_accuracy": trained.paths.test,
                }
            ),
            "training": {
                "datasets": sources,
                "epochs": trained.epochs,
                "seconds": round(trained.seconds, 1),
                "seed": trained.seed,
                "code_version": __version__,
                "torch_version": str(torch.__version__),
                "date": datetime.now(timezone.utc).date().isoformat(),
                "recipe": recipe,
                "parent": init,
            },
            "licence": licence,
            "tags": list(tags),
            "backbone": sketches[0].backbone,
            "encoder": MOMENTS.id,
        }
    )


def _as_stored(trained: PretrainResult, data: ImageDataset, dtype: DtypeName) -> PretrainResult:
    """What a reader of the bundle will have: weights rounded to its type, and their accuracies."""
    stored = as_stored(trained.supernet, dtype)
    val, test, sources = accuracies(stored, data)
    return replace(trained, supernet=stored, val_accuracy=val, test_accuracy=test, sources=sources)


def _slug(text: str) -> str:
    kept = "".join(c if c.isalnum() and c.isascii() else "-" for c in text.lower())
    return "-".join(part for part in kept.split("-") if part)[:64].rstrip("-") or "supernet"
