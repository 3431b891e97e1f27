"""`Zoo`: the facade that joins the rooms. What the command line can do, it does through this."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from snt_zoo import __version__
from snt_zoo.data import ImageDataset
from snt_zoo.data.joining import join
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE
from snt_zoo.encoders.embedding import ENCODER_ID, embed
from snt_zoo.encoders.sketch import Sketch, sketch
from snt_zoo.errors import BudgetError
from snt_zoo.registry.bundle import read_bundle, write_bundle
from snt_zoo.registry.registry import Record, Registry
from snt_zoo.registry.retrieval import ClassPair, Match, QueryResult, retrieve
from snt_zoo.registry.schema import BundleConfig
from snt_zoo.registry.weights import DtypeName, as_stored, describe
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import remove_checkpoint
from snt_zoo.search.evaluate import evaluate
from snt_zoo.search.finetune import FinetuneResult, finetune
from snt_zoo.search.pretrain import PretrainResult, pretrain, untrained
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.run import EpochRecord, OnEpoch
from snt_zoo.search.supernet import NetworkConfig, Supernet

__all__ = ["ClassPair", "Match", "Pretrained", "Provenance", "QueryResult", "Zoo"]

DEFAULT_BUDGET = "10m"


@dataclass(frozen=True)
class Provenance:
    """Where a source comes from.

    Args:
        source: place or package.
        licence: SPDX identifier or a line of text.
        licence_url: where the licence can be read.
    """

    source: str = "not stated"
    licence: str = "not stated"
    licence_url: str | None = None


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
    """

    id: str
    out: Path
    params: int
    metrics: Mapping[str, float]
    history: tuple[EpochRecord, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys of the command line's contract."""
        return {
            "id": self.id,
            "params": self.params,
            "metrics": dict(self.metrics),
            "seconds": self.seconds,
            "out": str(self.out),
            "history": [asdict(record) for record in self.history],
        }


class Zoo:
    """A registry of pretrained supernets, what retrieves from it and what adapts its supernets.

    Open one with `Zoo.open`.

    Example:
        >>> import snt_zoo
        >>> zoo = snt_zoo.Zoo.open()  # doctest: +SKIP
        >>> data = snt_zoo.open_dataset("photos/")  # doctest: +SKIP
        >>> result = zoo.finetune(zoo.query(data)[0], data, budget="10m")  # doctest: +SKIP
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    @classmethod
    def open(cls, home: str | Path | None = None, *, starter: bool = True) -> Zoo:
        """The zoo of a registry folder.

        Args:
            home: the folder; by default `$SNT_ZOO_HOME`, else the platform's place for user data.
            starter: put the starter zoo in, once; a starter supernet that was removed stays away.
        """
        registry = Registry.open(home)
        if registry.maker is not None and registry.maker.encoder != ENCODER_ID:
            # An earlier release embedded otherwise; the sketches are still good.
            registry.rebuild_index(embed=embed, encoder=ENCODER_ID)
        if starter:
            registry.seed(starter_bundles(), embed=embed, encoder=ENCODER_ID)
        return cls(registry)

    # ---- retrieval ------------------------------------------------------------------------------

    def sketch(self, data: ImageDataset, *, backbone: str = DEFAULT_BACKBONE) -> Sketch:
        """The sketch of a dataset: all that a query needs of it."""
        return sketch(data, backbone=backbone)

    def query(
        self,
        data: ImageDataset | Sketch,
        *,
        k: int = 5,
        max_params: int | None = None,
        max_macs: int | None = None,
        space: str | None = None,
        exclude: Collection[str] = (),
        backbone: str = DEFAULT_BACKBONE,
        on_stage: Callable[[str], None] | None = None,
    ) -> QueryResult:
        """The supernets that were trained on the most similar data, nearest first.

        Args:
            data: labelled images, or their sketch.
            k: how many answers.
            max_params: largest number of weights of the network that a supernet's genotype derives to.
            max_macs: largest number of its multiply-accumulates.
            space: only supernets of this search space.
            exclude: ids (or their beginnings), names or tags of supernets to leave out.
            backbone: makes the sketch; the registry's supernets must have been sketched by the same.
            on_stage: called with the name of each stage as it begins.

        Raises:
            NoMatchError: nothing meets the constraints.
            IndexMismatchError: the registry was made with another backbone.
        """
        tell = on_stage or (lambda stage: None)
        seconds: dict[str, float] = {}
        if not isinstance(data, Sketch):
            tell("sketch")
            start = time.perf_counter()
            data = self.sketch(data, backbone=backbone)
            seconds["sketch"] = time.perf_counter() - start

        def keep(record: Record) -> bool:
            return (
                (max_params is None or record.params <= max_params)
                and (max_macs is None or record.macs <= max_macs)
                and (space is None or record.space == space)
                and not any(word in record.tags or record.id.startswith(word) for word in exclude)
            )

        tell("search")
        return retrieve(self.registry, data, k=k, keep=keep, seconds=seconds)

    # ---- training -------------------------------------------------------------------------------

    def finetune(
        self,
        source: Match | str,
        data: ImageDataset,
        *,
        budget: str | float | None = None,
        epochs: int | None = None,
        seed: int = 0,
        device: str = "auto",
        out: str | Path | None = None,
        resume: bool = False,
        recipe: Recipe | None = None,
        exclude: Collection[str] = (),
        on_source: Callable[[str], None] | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> FinetuneResult:
        """Adapt a supernet's weights and alphas to a dataset and derive a network.

        Args:
            source: a match, an id (or its beginning), `auto` for the best match, or `scratch` for a
                search from fresh weights.
            data: the target.
            budget: wall clock of the whole run, as `"10m"`; the default if epochs are not given.
            epochs: the budget in epochs, for runs that must repeat to the bit.
            seed: decides everything that is random.
            device: `auto`, `cpu`, `cuda`, ….
            out: folder for checkpoints, and in the end for the model and its report.
            resume: go on from the checkpoint in `out`.
            recipe: hyperparameters of training.
            exclude: as in `query`, for `auto`.
            on_source: called with the id of the supernet before training begins.
            on_epoch: called with the record of each epoch.

        Raises:
            NotInRegistryError: no such supernet.
            BudgetError: a budget in time and in epochs at once, or one that cannot be read.
            ResumeError: nothing to resume, or another run's checkpoint.
        """
        limit = _budget(budget, epochs)
        start, source_id = self._source(source, data, exclude)
        if on_source is not None:
            on_source(source_id)
        result = finetune(
            data,
            start,
            budget=limit,
            source_id=source_id,
            recipe=recipe,
            seed=seed,
            device=device,
            folder=None if out is None else Path(out),
            resume=resume,
            on_epoch=on_epoch,
        )
        if out is not None:
            result.save(out)
            remove_checkpoint(Path(out))
        return result

    @staticmethod
    def pretrain(
        datasets: Sequence[ImageDataset],
        *,
        out: str | Path,
        space: str = "nas_bench_201",
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
        recipe: Recipe | None = None,
        backbone: str = DEFAULT_BACKBONE,
        on_epoch: OnEpoch | None = None,
    ) -> Pretrained:
        """Pretrain a supernet on one or several datasets and write its bundle.

        Args:
            datasets: the sources; of several the classes are joined.
            out: folder of the bundle; must not exist, or be empty.
            space: search space.
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
            recipe: hyperparameters of training.
            backbone: makes the sketches.
            on_epoch: called with the record of each epoch.

        Raises:
            BundleError: `out` is in use, or the bundle cannot be written.
        """
        out = Path(out)
        working = out.parent / f".{out.name}.run"  # a bundle's folder holds the bundle's files only
        config = NetworkConfig(space=space, hyperparameters=dict(hyperparameters or {}))
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
        )
        config_of(untrained(data, config))  # what the format refuses shows now, not after the training
        trained = pretrain(
            data,
            config,
            budget=_budget(budget, epochs, default=Budget(epochs=60)),
            recipe=recipe,
            seed=seed,
            device=device,
            folder=working,
            resume=resume,
            on_epoch=on_epoch,
        )
        trained = _as_stored(trained, data, dtype)
        bundle_config = config_of(trained)
        write_bundle(out, supernet=trained.supernet, config=bundle_config, sketches=sketches)
        remove_checkpoint(working)
        if working.is_dir():
            working.rmdir()
        return Pretrained(
            id=read_bundle(out).id,
            out=out,
            params=bundle_config.supernet_params,
            metrics={
                "val_accuracy": trained.val_accuracy,
                "test_accuracy": trained.test_accuracy,
            },
            history=trained.history,
            seconds=trained.seconds,
        )

    # ---- the registry ---------------------------------------------------------------------------

    def list(
        self,
        *,
        space: str | None = None,
        max_params: int | None = None,
        max_macs: int | None = None,
        tag: str | None = None,
    ) -> list[Record]:
        """The supernets in the registry, by name."""
        return self.registry.list(space=space, max_params=max_params, max_macs=max_macs, tag=tag)

    def show(self, id: str) -> Record:
        """Everything that is known of a supernet.

        Args:
            id: its id, its name, or a beginning that fits only one.

        Raises:
            NotInRegistryError: none fits, or several.
        """
        return self.registry.show(self.registry.resolve(id))

    def add(self, folder: str | Path) -> Record:
        """Check a bundle and copy it into the registry.

        Raises:
            BundleError: the bundle is refused; the registry stays as it was.
            AlreadyInRegistryError: it is there already.
        """
        return self.registry.add(folder, embed=embed, encoder=ENCODER_ID)

    def remove(self, id: str) -> str:
        """Remove a supernet from the registry; returns its full id.

        Raises:
            NotInRegistryError: none fits, or several.
        """
        full = self.registry.resolve(id)
        self.registry.remove(full)
        return full

    def _source(
        self, source: Match | str, data: ImageDataset, exclude: Collection[str]
    ) -> tuple[Supernet | NetworkConfig, str]:
        if source == "scratch":
            return STARTER_NETWORK, "scratch"
        if source == "auto":
            source = self.query(data, k=1, exclude=exclude)[0]
        id = source.id if isinstance(source, Match) else self.registry.resolve(source)
        return self.registry.get(id).supernet, id


STARTER_NETWORK = NetworkConfig("nas_bench_201", {"channels": 16, "stem_stride": 2})
"""The network of the starter zoo and of a search from scratch; measured in docs/decisions.md."""


def starter_bundles() -> list[Path]:
    """Folders of the bundles that ship with the package."""
    home = Path(str(resources.files("snt_zoo"))) / "starter"
    return sorted(path.parent for path in home.glob("*/manifest.json"))


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
) -> BundleConfig:
    """The `config.json` of a newly pretrained supernet; raises `ConfigError`."""
    sources = [
        {
            "name": data.name,
            "source": origin.source,
            "licence": origin.licence,
            "licence_url": origin.licence_url,
            "classes": data.num_classes,
            "train_images": len(data.train),
            "fingerprint": data.fingerprint,
        }
        for data, origin in zip(datasets, provenance, strict=True)
    ]
    recipe: dict[str, Any] = {}
    for key, value in asdict(trained.recipe).items():
        recipe[key] = " ".join(map(str, value)) if isinstance(value, tuple) else value
    return BundleConfig.from_data(
        {
            **describe(trained.supernet, dtype=dtype),
            "name": name,
            "description": description,
            "class_names": list(join(datasets).class_names),
            "metrics": {"val_accuracy": trained.val_accuracy, "test_accuracy": trained.test_accuracy},
            "training": {
                "datasets": sources,
                "epochs": trained.epochs,
                "seconds": round(trained.seconds, 1),
                "seed": trained.seed,
                "code_version": __version__,
                "torch_version": str(torch.__version__),
                "date": datetime.now(timezone.utc).date().isoformat(),
                "recipe": recipe,
                "parent": None,
            },
            "licence": licence,
            "tags": list(tags),
            "backbone": sketches[0].backbone,
            "encoder": ENCODER_ID,
        }
    )


def _as_stored(trained: PretrainResult, data: ImageDataset, dtype: DtypeName) -> PretrainResult:
    """What a reader of the bundle will have: weights rounded to its type, and their accuracies."""
    stored = as_stored(trained.supernet, dtype)
    return replace(
        trained,
        supernet=stored,
        val_accuracy=evaluate(stored, data.val),
        test_accuracy=evaluate(stored, data.test),
    )


def _budget(budget: str | float | None, epochs: int | None, *, default: Budget | None = None) -> Budget:
    if budget is not None and epochs is not None:
        raise BudgetError("give a budget in time or in epochs, not both")
    if epochs is not None:
        return Budget(epochs=epochs)
    if budget is None and default is not None:
        return default
    return Budget.parse(DEFAULT_BUDGET if budget is None else budget)


def _slug(text: str) -> str:
    kept = "".join(c if c.isalnum() and c.isascii() else "-" for c in text.lower())
    return "-".join(part for part in kept.split("-") if part)[:64].rstrip("-") or "supernet"
