"""`Zoo`: the facade that joins the rooms. What the command line can do, it does through this."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import resources
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from snt_zoo.bundling import Pretrained, Provenance, pretrain_bundle
from snt_zoo.comparison import Comparison, compare
from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE
from snt_zoo.encoders.distances import DatasetDistance
from snt_zoo.encoders.embedding import ENCODER_ID, embed
from snt_zoo.encoders.probe import fit_probe
from snt_zoo.encoders.sketch import Drawn, Sketch, draw, sketch
from snt_zoo.errors import NotInRegistryError
from snt_zoo.registry.filters import Bound, Filter
from snt_zoo.registry.hub.cache import HubCache
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.registry import Record, Registry
from snt_zoo.registry.retrieval import DEFAULT_DISTANCE, ClassPair, Match, QueryResult, retrieve
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import remove_checkpoint
from snt_zoo.search.constraints import Limits
from snt_zoo.search.distributed import Team
from snt_zoo.search.finetune import FinetuneResult, default_recipe, finetune
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.run import OnEpoch
from snt_zoo.search.supernet import NetworkConfig, Supernet
from snt_zoo.sharing import Sharing
from snt_zoo.verifying import verify_registry

__all__ = [
    "Bound",
    "ClassPair",
    "Comparison",
    "Filter",
    "HubClient",
    "Match",
    "Pretrained",
    "Provenance",
    "QueryResult",
    "Zoo",
]

DEFAULT_BUDGET = "10m"
PROBE_VAL = 256  # validation images of a query's probe: with them it takes as long as the sketch, at most


class Zoo(Sharing):
    """A registry of pretrained supernets, what retrieves from it and what adapts its supernets.

    Open one with `Zoo.open`.

    Example:
        >>> import snt_zoo
        >>> zoo = snt_zoo.Zoo.open()  # doctest: +SKIP
        >>> data = snt_zoo.open_dataset("photos/")  # doctest: +SKIP
        >>> result = zoo.finetune(zoo.query(data)[0], data, budget="10m")  # doctest: +SKIP
    """

    @classmethod
    def open(
        cls, home: str | Path | None = None, *, starter: bool = True, hub: HubClient | None = None
    ) -> Zoo:
        """The zoo of a registry folder.

        Args:
            home: the folder; by default `$SNT_ZOO_HOME`, else the platform's place for user data.
            starter: put the starter zoo in, once; a starter supernet that was removed stays away.
            hub: by default the one that the environment names (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`).
        """
        registry = Registry.open(home)
        if registry.maker is not None and registry.maker.encoder != ENCODER_ID:
            # An earlier release embedded otherwise; the sketches are still good.
            registry.rebuild_index(embed=embed, encoder=ENCODER_ID)
        if starter:
            registry.seed(starter_bundles(), embed=embed, encoder=ENCODER_ID)
        return cls(registry, hub=hub)

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
        hub: bool = False,
        distance: str | DatasetDistance = DEFAULT_DISTANCE,
        backbone: str = DEFAULT_BACKBONE,
        probe: bool = True,
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
            hub: rank those on the Hugging Face Hub as well, as the last `sync` saw them; needs no network.
            distance: what ranks, or its name; see `snt_zoo.encoders.distances`. The answer's `ranked_by` says
                which it was, and at which level.
            backbone: makes the sketch; the registry's supernets must have been sketched by the same.
            probe: whether to say what a linear probe on the sketch's images comes to; needs images.
            on_stage: called with the name of each stage as it begins.

        Raises:
            UnknownComponentError: no distance of that name.
            DatasetError: the distance looks at images, and `data` is a sketch.
            NoMatchError: nothing meets the constraints.
            NotInRegistryError: a word of `exclude` fits no supernet.
            IndexMismatchError: the registry was made with another backbone.
            HubError: nothing is known of the Hub yet.
        """
        shelf = self._seen() if hub else None
        self._check_excluded(exclude, shelf)
        tell = on_stage or (lambda stage: None)
        seconds: dict[str, float] = {}
        images = None if isinstance(data, Sketch) else data
        drawn: Drawn | None = None
        if not isinstance(data, Sketch):
            tell("sketch")
            start = time.perf_counter()
            drawn = draw(data, backbone)
            data = sketch(data, drawn=drawn)
            seconds["sketch"] = time.perf_counter() - start
        where = Filter(space=space, max_params=max_params, max_macs=max_macs, exclude=tuple(exclude))
        tell("search")
        found = retrieve(
            self.registry,
            data,
            k=k,
            data=images,
            distance=distance,
            where=where,
            hub=shelf,
            seconds=seconds,
        )
        if images is None or drawn is None or not probe:
            return found
        tell("probe")
        fitted = fit_probe(images, drawn, max_images=len(drawn.indices), max_val=PROBE_VAL)
        return replace(found, probe=fitted, seconds={**found.seconds, "probe": fitted.seconds})

    def distance(
        self,
        target: ImageDataset | Sketch | str,
        source: ImageDataset | Sketch | str,
        *,
        level: Literal["class", "samples"] = "class",
        backbone: str = DEFAULT_BACKBONE,
        **options: Any,
    ) -> Comparison:
        """How far two datasets are from each other, and which class lies near which.

        Args:
            target: labelled images, their sketch, or the id of a supernet: the dataset that it was trained
                on; of several the one that is nearest.
            source: likewise.
            level: between Gaussians of the classes, or between sampled images.
            backbone: makes the sketches.
            options: of `transport.class_distance` or, between samples, `transport.dataset_distance`.

        Raises:
            NotInRegistryError: an id fits no supernet, or several.
            IndexMismatchError: the two were sketched by different backbones.
            TimeLimitError: the method did not end in time.
        """
        sides = [self._sketches(side, backbone) for side in (target, source)]
        return compare(sides[0], sides[1], level=level, **options)

    def _sketches(self, side: ImageDataset | Sketch | str, backbone: str) -> Sequence[Sketch]:
        if isinstance(side, str):
            return self.registry.sketches(self.registry.resolve(side))
        return [side if isinstance(side, Sketch) else self.sketch(side, backbone=backbone)]

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
        searcher: str | None = None,
        selection: str | None = None,
        guards: Mapping[str, bool] | None = None,
        max_params: int | None = None,
        max_macs: int | None = None,
        exclude: Collection[str] = (),
        hub: bool = False,
        on_source: Callable[[str], None] | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> FinetuneResult:
        """Adapt a supernet's weights and alphas to a dataset and derive a network.

        Args:
            source: a match, an id (or its beginning), a repository of the Hub (`owner/name@revision`),
                `auto` for the best match, or `scratch` for a search from fresh weights. A supernet that
                is on the Hub alone is pulled.
            data: the target.
            budget: wall clock of the whole run, as `"10m"`; the default if epochs are not given.
            epochs: the budget in epochs, for runs that must repeat to the bit.
            seed: decides everything that is random.
            device: `auto`, `cpu`, `cuda`, ….
            out: folder for checkpoints, and in the end for the model and its report.
            resume: go on from the checkpoint in `out`.
            recipe: hyperparameters of training.
            searcher: name of another searcher than the recipe's; see `docs/searchers.md`.
            selection: `alpha` or `perturbation`, if not the recipe's.
            guards: which guards to switch on or off, by name.
            max_params: most weights that the network may have.
            max_macs: most multiply-accumulates that it may take for one image.
            exclude: as in `query`, for `auto`.
            hub: as in `query`, for `auto`.
            on_source: called with the id of the supernet before training begins.
            on_epoch: called with the record of each epoch.

        Raises:
            NotInRegistryError: no such supernet.
            BudgetError: a budget in time and in epochs at once, or one that cannot be read.
            ResumeError: nothing to resume, or another run's checkpoint.
            HubError: the supernet has to be pulled, and cannot be.
            InfeasibleError: no network of the search space is that small.
            UnknownComponentError: no such searcher, selection or guard.
        """
        limit = Budget.of(budget, epochs, default=DEFAULT_BUDGET)
        start, source_id = self._source(source, data, exclude, hub)
        if on_source is not None:
            on_source(source_id)
        result = finetune(
            data,
            start,
            budget=limit,
            source_id=source_id,
            recipe=(recipe or default_recipe(start)).choosing(
                searcher=searcher, selection=selection, guards=guards
            ),
            limits=Limits(max_params, max_macs),
            seed=seed,
            device=device,
            folder=None if out is None else Path(out),
            resume=resume,
            on_epoch=on_epoch,
        )
        if out is not None and Team.current().first:
            result.save(out)
            remove_checkpoint(Path(out))
        return result

    pretrain = staticmethod(pretrain_bundle)

    # ---- the registry ---------------------------------------------------------------------------

    verify = staticmethod(verify_registry)

    def list(
        self,
        where: Filter | None = None,
        *,
        space: str | None = None,
        max_params: int | None = None,
        max_macs: int | None = None,
        tag: str | None = None,
    ) -> list[Record]:
        """The supernets in the registry, by name; see `Registry.list`."""
        return self.registry.list(where, space=space, max_params=max_params, max_macs=max_macs, tag=tag)

    def show(self, id: str) -> Record:
        """Everything that is known of a supernet.

        Args:
            id: its id, its name, a beginning that fits only one, `NAME@ALIAS` or `NAME@DIGEST`.

        Raises:
            NotInRegistryError: none fits, or several.
        """
        return self.registry.show(self.registry.resolve(id))

    def add(self, folder: str | Path, *, tags: Collection[str] = (), aliases: Collection[str] = ()) -> Record:
        """Check a bundle and copy it into the registry; see `Registry.add`.

        Raises:
            BundleError: the bundle is refused; the registry stays as it was.
            AlreadyInRegistryError: it is there already.
        """
        return self.registry.add(folder, embed=embed, encoder=ENCODER_ID, tags=tags, aliases=aliases)

    def remove(self, id: str) -> str:
        """Remove a supernet from the registry; returns its full id.

        Raises:
            NotInRegistryError: none fits, or several.
        """
        full = self.registry.resolve(id)
        self.registry.remove(full)
        return full

    def _check_excluded(self, exclude: Collection[str], hub: HubCache | None = None) -> None:
        """A misspelt word would leave in what was to be left out, and nobody would see it."""
        seen = hub.list() if exclude and hub is not None else []
        for word in exclude:
            if not self.registry.knows(word) and all(Filter(exclude=(word,)).fits(one) for one in seen):
                raise NotInRegistryError(
                    f"nothing to exclude: {word!r} is no tag, name or id in the registry; see `snt-zoo list`"
                )

    def _source(
        self, source: Match | str, data: ImageDataset, exclude: Collection[str], hub: bool
    ) -> tuple[Supernet | NetworkConfig, str]:
        if source == "scratch":
            return STARTER_NETWORK, "scratch"
        if source == "auto":
            source = self.query(data, k=1, exclude=exclude, hub=hub)[0]
        id = self._fetched(source) if isinstance(source, Match) else self._meant(source)
        return self.registry.get(id).supernet, id


STARTER_NETWORK = NetworkConfig("nas_bench_201", {"channels": 16, "stem_stride": 2})
"""The network of the starter zoo and of a search from scratch; measured in docs/decisions.md."""


def starter_bundles() -> list[Path]:
    """Folders of the bundles that ship with the package."""
    home = Path(str(resources.files("snt_zoo"))) / "starter"
    return sorted(path.parent for path in home.glob("*/manifest.json"))
