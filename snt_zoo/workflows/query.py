"""Find the supernets that were trained on data like somebody's, and say whether any is close."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE, get_backbone
from snt_zoo.encoders.distances import DatasetDistance
from snt_zoo.encoders.kept_features import OnProgress, name_task, silent
from snt_zoo.encoders.looking import choose_looks
from snt_zoo.encoders.probe import Probe, fit_probe
from snt_zoo.encoders.sketch import Sample, Sketch
from snt_zoo.encoders.target import Target
from snt_zoo.formats.tensor_cache import key_of, recall, remember
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.closeness import any_close, with_heads
from snt_zoo.registry.remote.asking import retrieve
from snt_zoo.registry.retrieval import DEFAULT_DISTANCE, QueryResult
from snt_zoo.workflows.latency import latency_limits, too_slow
from snt_zoo.workflows.shelves import Shelves, check_excluded, seen_on_hub

LOOK_SECONDS = 6.0
"""What a query's probe may take to look at photographs: an answer is due in 15 s."""

PROBE_VAL = 256  # validation images of a query's probe: with them it takes as long as the sketch, at most


def query(
    zoo: Shelves,
    data: ImageDataset | Sketch | Target,
    *,
    k: int = 5,
    max_params: int | None = None,
    max_macs: int | None = None,
    max_latency: float | None = None,
    latency_table: str | Path | None = None,
    space: str | None = None,
    licence: str | None = None,
    exclude: Collection[str] = (),
    hub: bool = False,
    by: str = "distance",
    distance: str | DatasetDistance = DEFAULT_DISTANCE,
    backbone: str = DEFAULT_BACKBONE,
    probe: bool = True,
    on_stage: Callable[[str], None] = lambda stage: None,
    on_progress: OnProgress = silent,
) -> QueryResult:
    """The supernets that were trained on the most similar data, nearest first.

    Args:
        zoo: where to look.
        data: labelled images, their sketch, or a target that was made of either.
        k: how many answers.
        max_params: largest number of weights of the network that a supernet's genotype derives to.
        max_macs: largest number of its multiply-accumulates.
        max_latency: most seconds that it takes for one image, as a table of latencies predicts them.
        latency_table: as of `finetune`.
        space: only supernets of this search space.
        licence: only those of this licence, in any case of letters; `*` and `?` stand for any signs.
        exclude: ids (or their beginnings), names or tags of supernets to leave out.
        hub: rank those on the Hugging Face Hub as well, as the last `sync` saw them; needs no network.
        by: `distance`, or `accuracy` for the highest `predicted_accuracy` first.
        distance: what ranks, or its name; see `snt_zoo.encoders.distances`. The answer's `ranked_by` says
            which it was, and at which level.
        backbone: makes the sketch; the registry's supernets must have been sketched by the same.
        probe: whether to say what a linear probe on the sketch's images comes to, what new heads of the
            nearest supernets do, and so whether any is close; needs images.
        on_stage: called with the name of each stage as it begins.
        on_progress: called with how much of the stage is done, and of how much: images, or heads.

    Raises:
        UnknownComponentError: no distance of that name.
        DatasetError: the distance looks at images, and `data` is a sketch.
        NoMatchError: nothing meets the constraints.
        NotInRegistryError: a word of `exclude` fits no supernet.
        IndexMismatchError: the registry was made with another backbone.
        HubError: nothing is known of the Hub yet.
    """
    shelf = seen_on_hub(zoo) if hub else None
    check_excluded(zoo, exclude, shelf)
    where = Filter(
        space=space, max_params=max_params, max_macs=max_macs, licence=licence, exclude=tuple(exclude)
    )
    limits = latency_limits(zoo, max_latency=max_latency, latency_table=latency_table)
    where = replace(where, exclude=(*where.exclude, *too_slow(zoo, limits, where, shelf)))
    on_stage("sketch")
    start = time.perf_counter()
    target = Target.of(data, backbone, on_progress=on_progress)
    sketched = {} if target.data is None else {"sketch": time.perf_counter() - start}
    on_stage("search")
    found = retrieve(zoo.registry, target, k=k, by=by, distance=distance, where=where, hub=shelf)
    found = replace(found, seconds=sketched | dict(found.seconds))
    if not probe or target.data is None:
        return found
    return _compared(zoo, target, found, on_stage, on_progress)


def _compared(
    zoo: Shelves,
    target: Target,
    found: QueryResult,
    on_stage: Callable[[str], None],
    on_progress: OnProgress,
) -> QueryResult:
    """The answer, with what a probe and new heads do on the target's images."""
    data, sample = target.data, target.sample
    assert data is not None and sample is not None
    on_stage("probe")
    probe = _probe(data, _looked_at(data, sample, on_progress), on_progress)
    asked = min(len(data.val), PROBE_VAL)
    # The predictor knows the probe on the sketch's backbone; another look says something else of a dataset.
    if found.predictions is not None and probe.backbone == sample.backbone.id:
        found = found.saying(found.predictions.beside(probe.val_accuracy, asked))
    on_stage("heads")
    start = time.perf_counter()
    matches = with_heads(found.matches, zoo.registry, target, max_val=PROBE_VAL, on_progress=on_progress)
    heads = time.perf_counter() - start
    return replace(
        found,
        matches=matches,
        close=any_close(matches, probe, images=asked),
        probe=probe,
        seconds={**found.seconds, "probe": probe.seconds, "heads": heads},
    )


def _looked_at(data: ImageDataset, sample: Sample, on_progress: OnProgress) -> Sample:
    """The images of the sketch as the probe looks at them."""
    images = len(sample.indices) + min(len(data.val), PROBE_VAL)
    (look,) = choose_looks(data, images=images, seconds=LOOK_SECONDS, reading=sample.pace, most=1)
    if look in (sample.backbone.id, DEFAULT_BACKBONE):
        return sample
    return Sample.of(data, get_backbone(look).quick(), on_progress=on_progress)


def _probe(data: ImageDataset, sample: Sample, on_progress: OnProgress) -> Probe:
    """A probe on the images of the sketch, as it was kept from the last query of them, or fitted."""
    start = time.perf_counter()
    backbone = sample.backbone
    task = name_task(data, data.train.subset(sample.indices), data.val.thinned(PROBE_VAL))
    key = key_of("probe", backbone.id, backbone.digest, task)
    if (kept := recall(key)) is not None:
        return Probe(
            backbone.id,
            kept.tensors["weight"],
            kept.tensors["bias"],
            val_accuracy=float(kept.texts["val_accuracy"]),
            strength=float(kept.texts["strength"]),
            images=len(sample.indices),
            seconds=time.perf_counter() - start,
        )
    found = fit_probe(
        data, sample, max_images=len(sample.indices), max_val=PROBE_VAL, on_progress=on_progress
    )
    texts = {"val_accuracy": repr(found.val_accuracy), "strength": repr(found.strength)}
    remember(key, {"weight": found.weight, "bias": found.bias}, texts)
    return found
