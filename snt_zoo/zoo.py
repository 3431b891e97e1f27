"""`Zoo`: the facade that joins the rooms. What the command line can do, it does through this."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE
from snt_zoo.encoders.distances import DatasetDistance
from snt_zoo.encoders.embedding import ENCODER_ID, embed
from snt_zoo.encoders.probe import fit_probe
from snt_zoo.encoders.sketch import Drawn, Sketch, draw, sketch
from snt_zoo.registry.catalog.filters import Bound, Filter
from snt_zoo.registry.closeness import any_close, with_heads
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.registry import Record, Registry
from snt_zoo.registry.retrieval import DEFAULT_DISTANCE, ClassPair, Match, QueryResult, retrieve
from snt_zoo.workflows.compare import Comparison, compare
from snt_zoo.workflows.finetune import DEFAULT_BUDGET, STARTER_NETWORK, Adapting
from snt_zoo.workflows.pretrain import Pretrained, Provenance, pretrain_bundle
from snt_zoo.workflows.verify import verify_registry

__all__ = [
    "DEFAULT_BUDGET",
    "STARTER_NETWORK",
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

PROBE_VAL = 256  # validation images of a query's probe: with them it takes as long as the sketch, at most


class Zoo(Adapting):
    """A registry of pretrained supernets, what retrieves from it and what adapts its supernets.

    Open one with `Zoo.open`.

    Example:
        >>> import snt_zoo
        >>> zoo = snt_zoo.Zoo.open()  # doctest: +SKIP
        >>> data = snt_zoo.open_dataset("photos/")  # doctest: +SKIP
        >>> result = zoo.finetune("auto", data, budget="10m")  # doctest: +SKIP
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
            probe: whether to say what a linear probe on the sketch's images comes to, what new heads of the
                nearest supernets do, and so whether any is close; needs images.
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
        tell("heads")
        start = time.perf_counter()
        matches = with_heads(found.matches, self.registry, images, drawn, max_val=PROBE_VAL)
        heads = time.perf_counter() - start
        return replace(
            found,
            matches=matches,
            close=any_close(matches, fitted, images=min(len(images.val), PROBE_VAL)),
            probe=fitted,
            seconds={**found.seconds, "probe": fitted.seconds, "heads": heads},
        )

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


def starter_bundles() -> list[Path]:
    """Folders of the bundles that ship with the package."""
    home = Path(str(resources.files("snt_zoo"))) / "starter"
    return sorted(path.parent for path in home.glob("*/manifest.json"))
