"""Pretraining a supernet: bilevel training from fresh weights, the best epoch by validation.

What comes out is not a network to deploy but a starting point: weights that work along many paths, alphas
that say which paths did well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.search.bilevel import check_recipe, fresh_config, search
from snt_zoo.search.budget import Budget
from snt_zoo.search.constraints import Limits
from snt_zoo.search.device import resolve_device
from snt_zoo.search.evaluate import evaluate, recalibrate
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
    config: NetworkConfig,
    *,
    budget: Budget,
    recipe: Recipe | None = None,
    limits: Limits | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    folder: Path | None = None,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
) -> PretrainResult:
    """Train a supernet's weights and alphas from scratch.

    Args:
        data: the source.
        config: space, its hyperparameters and input; the number of classes is taken from the data.
        budget: of the run.
        recipe: hyperparameters; by default `Recipe.for_pretraining()`.
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
    recipe = Recipe.for_pretraining() if recipe is None else recipe
    check_recipe(recipe)
    limits = Limits() if limits is None else limits
    config = fresh_config(config, recipe, data.num_classes)
    bound = limits.bound(config)
    run = Run(
        budget=budget,
        seed=seed,
        settings={
            "config": config.to_json(),
            "data": data.fingerprint,
            "recipe": repr(recipe),
            "limits": asdict(limits),
        },
        val=data.val,
        folder=folder,
        resume=resume,
        on_epoch=on_epoch,
    )
    # A generator of its own: a resumed run draws nothing for weights that its checkpoint holds.
    fresh = torch.Generator().manual_seed(seed)
    supernet = Supernet.create(config, generator=fresh).to(resolve_device(device))
    supernet.bound = bound
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
        epochs=len(run.history),
        recipe=recipe,
        seed=seed,
        search=facts["search"],
        warnings=tuple(facts["warnings"]),
    )


def untrained(
    data: ImageDataset,
    config: NetworkConfig,
    *,
    recipe: Recipe | None = None,
    limits: Limits | None = None,
) -> PretrainResult:
    """What `pretrain` would begin with, for checks that should not wait for a training.

    Raises:
        UnknownComponentError: the recipe names a searcher, guard or selection that there is not.
        InfeasibleError: no network of the space is within the limits.
    """
    recipe = Recipe.for_pretraining() if recipe is None else recipe
    check_recipe(recipe)
    config = fresh_config(config, recipe, data.num_classes)
    (limits or Limits()).bound(config)
    supernet = Supernet.create(config, generator=torch.Generator())
    return PretrainResult(supernet, 0.0, 0.0, (), 0.0, 0, recipe, 0)
