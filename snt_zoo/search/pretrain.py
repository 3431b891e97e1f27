"""Pretraining a supernet: bilevel training from fresh weights, or from those of a network that was pretrained
elsewhere; the best epoch by validation.

What comes out is not a network to deploy but a starting point: weights that work along many paths, alphas
that say which paths did well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.search.bilevel import check_recipe, search, starting_point
from snt_zoo.search.budget import Budget
from snt_zoo.search.constraints import Limits
from snt_zoo.search.device import resolve_device
from snt_zoo.search.evaluate import evaluate, recalibrate
from snt_zoo.search.head import fit_head
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.run import EpochRecord, OnEpoch, Run
from snt_zoo.search.supernet import NetworkConfig, Supernet


@dataclass(frozen=True, eq=False)
class PretrainResult:
    """A pretrained supernet with what is known of it.

    Args:
        supernet: in eval mode on the CPU, at its best epoch, batch norms measured on its path.
        val_accuracy: along the path of its genotype, from 0 to 1.
        test_accuracy: likewise, on the test part, which picked nothing.
        history: a record for each epoch.
        seconds: wall clock.
        epochs: of training.
        recipe: hyperparameters.
        seed: of the run.
        search: how the architecture was found, as in `FinetuneResult`.
        warnings: what the user should know about it.
    """

    supernet: Supernet
    val_accuracy: float
    test_accuracy: float
    history: tuple[EpochRecord, ...]
    seconds: float
    epochs: int
    recipe: Recipe
    seed: int
    search: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def pretrain(
    data: ImageDataset,
    start: NetworkConfig | Supernet,
    *,
    budget: Budget,
    start_name: str = "scratch",
    recipe: Recipe | None = None,
    limits: Limits | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    folder: Path | None = None,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
) -> PretrainResult:
    """Train a supernet's weights and alphas.

    Args:
        data: the source.
        start: space, its hyperparameters and input, for fresh weights; or a supernet to begin with, whose
            batch norms are then measured and whose head is fitted before the first epoch. The number
            of classes is taken from the data.
        budget: of the run.
        start_name: what the run's settings call the start.
        recipe: hyperparameters; by default `default_recipe(start)`.
        limits: on the parameters and MACs of the network that the supernet derives to.
        seed: decides weights, order, augmentation and sampled paths.
        device: `auto`, `cpu`, `cuda`, ….
        folder: where checkpoints go.
        resume: go on from the checkpoint there.
        on_epoch: called with the record of each epoch.

    Raises:
        ResumeError: nothing to resume, or another run's checkpoint.
        DivergenceError: the loss is not finite.
        DeviceError: no such device.
    """
    recipe = default_recipe(start) if recipe is None else recipe
    check_recipe(recipe)
    limits = Limits() if limits is None else limits
    # A generator of its own: a resumed run draws nothing for weights that its checkpoint holds.
    supernet = starting_point(start, data.num_classes, recipe, seed).to(resolve_device(device))
    supernet.bound = limits.bound(supernet.config)
    run = Run(
        budget=budget,
        seed=seed,
        settings={
            "config": supernet.config.to_json(),
            "start": start_name,
            "data": data.fingerprint,
            "recipe": repr(recipe),
            "limits": asdict(limits),
        },
        val=data.val,
        folder=folder,
        resume=resume,
        on_epoch=on_epoch,
    )
    if isinstance(start, Supernet) and not run.history:
        recalibrate(supernet, data.train)
        fit_head(supernet, data.train)
        # For the record only: it does not compete for the best epoch, as no other path was trained.
        run.record("head", evaluate(supernet, data.val), entropy=supernet.entropy())
    facts = search(
        supernet,
        data.train,
        run=run,
        recipe=recipe,
        limits=limits,
        share=1.0,
        epochs=budget.epochs or 0,
        seed=seed,
    )
    recalibrate(supernet, data.train)
    return PretrainResult(
        supernet=supernet.cpu().eval(),
        val_accuracy=evaluate(supernet, data.val),
        test_accuracy=evaluate(supernet, data.test),
        history=tuple(run.history),
        seconds=run.clock.seconds(),
        epochs=sum(record.stage == "search" for record in run.history),
        recipe=recipe,
        seed=seed,
        search=facts["search"],
        warnings=tuple(facts["warnings"]),
    )


def default_recipe(start: NetworkConfig | Supernet) -> Recipe:
    """`Recipe.for_pretraining()`, with the rate of `Recipe.for_transfer()` if a supernet is given."""
    recipe = Recipe.for_pretraining()
    if isinstance(start, Supernet):
        recipe = replace(recipe, weight_lr=Recipe.for_transfer().weight_lr)
    return recipe


def untrained(
    data: ImageDataset,
    start: NetworkConfig | Supernet,
    *,
    recipe: Recipe | None = None,
    limits: Limits | None = None,
) -> PretrainResult:
    """What `pretrain` would begin with, for checks that should not wait for a training.

    Raises:
        UnknownComponentError: the recipe names a searcher, guard or selection that there is not.
        InfeasibleError: no network of the space is within the limits.
    """
    recipe = default_recipe(start) if recipe is None else recipe
    check_recipe(recipe)
    supernet = starting_point(start, data.num_classes, recipe, 0)
    (limits or Limits()).bound(supernet.config)
    return PretrainResult(supernet, 0.0, 0.0, (), 0.0, 0, recipe, 0)
