"""Pretraining a supernet: bilevel training from fresh weights, or from those of a network that was pretrained
elsewhere; the best epoch by validation.

Several datasets at once make a generalist: one trunk and one set of alphas, a head for each dataset, and
steps that draw their batch from a few datasets each (`Recipe.datasets_per_step`).

What comes out is not a network to deploy but a starting point: weights that work along many paths, alphas
that say which paths did well.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.data.seeding import derive_seed
from snt_zoo.networks.device import resolve_device
from snt_zoo.networks.evaluate import evaluate, evaluate_heads, mean_over_heads, recalibrate
from snt_zoo.networks.head import fit_head, fit_heads
from snt_zoo.networks.heads import split_by_head
from snt_zoo.networks.spaces import SearchSpace
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.networks.trained_on import shared_images
from snt_zoo.search.bilevel import check_recipe, search, starting_point
from snt_zoo.search.budget import Budget
from snt_zoo.search.mirroring import AUTO, TRIAL_SHARE, choose_augmentation
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.run import EpochRecord, Run, RunOptions
from snt_zoo.search.searchers import get_searcher

PATHS = 2
"""Paths that are drawn to tell how well a supernet does as a whole."""


@dataclass(frozen=True)
class SourceAccuracy:
    """What a supernet of several datasets does on one of them.

    Args:
        val: of its head, with batch norms measured on its training part, from 0 to 1.
        test: likewise.
    """

    val: float
    test: float


@dataclass(frozen=True, eq=False)
class PretrainResult:
    """A pretrained supernet with what is known of it.

    Args:
        supernet: in eval mode on the CPU, at its best epoch, batch norms measured on its path.
        val_accuracy: along the path of its genotype, from 0 to 1.
        test_accuracy: likewise, on the test part, which picked nothing.
        paths: accuracy of the supernet as a whole, and not of the one path: see `path_accuracy`.
        sources: of several datasets the accuracies of each, whose means the two above then are.
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
    paths: SourceAccuracy | None = None
    sources: tuple[SourceAccuracy, ...] = ()


def pretrain(
    data: ImageDataset,
    start: NetworkConfig | Supernet,
    options: RunOptions,
    *,
    start_name: str = "scratch",
    recipe: Recipe | None = None,
) -> PretrainResult:
    """Train a supernet's weights and alphas.

    Args:
        data: the source, or several that were joined (`snt_zoo.data.joining`): each then has a head of its
            own and batches of its own, and trunk and alphas are everybody's.
        start: space, its hyperparameters and input, for fresh weights; or a supernet to begin with, whose
            batch norms are then measured and whose head is fitted before the first epoch. The number
            of classes is taken from the data.
        options: of the run.
        start_name: what the run's settings call the start.
        recipe: hyperparameters; by default `default_recipe(start)`.

    Raises:
        ResumeError: nothing to resume, or another run's checkpoint.
        DivergenceError: the loss is not finite.
        DeviceError: no such device.
    """
    recipe = default_recipe(start) if recipe is None else recipe
    supernet = _begun(data, start, options, recipe)
    run = Run(
        options,
        settings={
            "config": supernet.config.to_json(),
            "start": start_name,
            "data": data.fingerprint,
            "recipe": repr(recipe),
            "limits": options.limits.to_json(),
        },
        val=data.val,
    )
    if recipe.augmentation == AUTO:
        if run.facts.augmentation is None:
            run.finish(AUTO, {}, augmentation=_tried(data, start, options, recipe))
        assert run.facts.augmentation is not None
        recipe = replace(recipe, augmentation=run.facts.augmentation[0])
    if isinstance(start, Supernet) and not run.history:
        recalibrate(supernet, data.train)
        (fit_heads if data.heads else fit_head)(supernet, data.train)
        # For the record only: it does not compete for the best epoch, as no other path was trained.
        run.record("head", accuracies(supernet, data)[0], entropy=supernet.entropy())
    found = search(supernet, data.train, run=run, recipe=recipe)
    recalibrate(supernet, data.train)
    val, test, sources = accuracies(supernet, data)
    whole = path_accuracy(supernet, data, sampled=get_searcher(recipe.searcher).sampled, seed=options.seed)
    evidence = run.facts.augmentation
    return PretrainResult(
        supernet=supernet.placed("cpu").eval(),
        val_accuracy=val,
        test_accuracy=test,
        sources=sources,
        history=tuple(run.history),
        seconds=run.clock.seconds(),
        epochs=sum(record.stage == "search" for record in run.history),
        recipe=recipe,
        seed=options.seed,
        search=found.report | ({} if evidence is None else {"augmentation": evidence[1]}),
        paths=whole,
        warnings=(*found.warnings, *_guesses(val, whole.val, data), *shared_images(data)),
    )


def accuracies(supernet: Supernet, data: ImageDataset) -> tuple[float, float, tuple[SourceAccuracy, ...]]:
    """Validation and test accuracy along the path of the genotype; of several datasets the means, and each.

    Those of one dataset are taken with the batch norms that the supernet has; those of several with norms
    measured on each, as every transfer begins.
    """
    if not data.heads:
        return evaluate(supernet, data.val), evaluate(supernet, data.test), ()
    train, val, test = (split_by_head(split, data.heads) for split in (data.train, data.val, data.test))
    sources = tuple(
        SourceAccuracy(*pair)
        for pair in zip(
            evaluate_heads(supernet, val, train), evaluate_heads(supernet, test, train), strict=True
        )
    )
    return (
        mean_over_heads([source.val for source in sources]),
        mean_over_heads([source.test for source in sources]),
        sources,
    )


def _guesses(accuracy: float, whole: float, data: ImageDataset) -> list[str]:
    """A warning where the path of the genotype does no better than guessing, by two standard errors."""
    chance = statistics.fmean(1 / classes for classes in data.heads or (data.num_classes,))
    if accuracy > chance + 2 * math.sqrt(chance * (1 - chance) / max(len(data.val), 1)):
        return []
    return [
        f"along the path of its genotype the supernet does no better than guessing ({accuracy:.1%} of the "
        f"validation images; as a whole {whole:.1%}): train it longer or at a lower rate before others use it"
    ]


def path_accuracy(supernet: Supernet, data: ImageDataset, *, sampled: bool, seed: int) -> SourceAccuracy:
    """How well a supernet does that is not cut down to its genotype yet.

    What that is depends on how it was trained: by sampled paths, the mean over some that are drawn from its
    alphas, each with batch norms of its own; by mixtures, all operations mixed.

    Args:
        supernet: stays as it is.
        data: it was trained on.
        sampled: which of the two.
        seed: of the draw.
    """
    whole = copy.deepcopy(supernet)
    if not sampled:
        mixture = {kind: table.detach() for kind, table in whole.mixture().items()}
        train, val, test = (split_by_head(split, data.heads) for split in (data.train, data.val, data.test))
        return SourceAccuracy(
            mean_over_heads(evaluate_heads(whole, val, train, mixture=mixture)),
            mean_over_heads(evaluate_heads(whole, test, train, mixture=mixture)),
        )
    generator = torch.Generator().manual_seed(derive_seed(seed, "paths"))
    found = []
    for _ in range(PATHS):
        for kind, alpha in whole.alphas.items():
            noise = torch.empty(alpha.shape).exponential_(generator=generator).log().neg()
            alpha.data = supernet.alphas[kind].detach() + noise.to(alpha.device)
        if not data.heads:
            recalibrate(whole, data.train)
        found.append(accuracies(whole, data)[:2])
    means = [sum(pair) / PATHS for pair in zip(*found, strict=True)]
    return SourceAccuracy(means[0], means[1])


def _begun(
    data: ImageDataset, start: NetworkConfig | Supernet, options: RunOptions, recipe: Recipe
) -> Supernet:
    """What a run begins with, on its device."""
    check_recipe(recipe)
    # A generator of its own: a resumed run draws nothing for weights that its checkpoint holds.
    supernet = starting_point(start, data.num_classes, recipe, options.seed, heads=data.heads)
    supernet.bound = options.limits.bound(supernet.config)
    return supernet.placed(resolve_device(options.device))


def _tried(
    data: ImageDataset, start: NetworkConfig | Supernet, options: RunOptions, recipe: Recipe
) -> tuple[str, list[dict[str, Any]]]:
    """The augmentation that a short run without flips speaks for."""
    recipe = replace(recipe, augmentation="safe", patience=0)
    budget = options.budget
    seconds = None if budget.seconds is None else max(1.0, TRIAL_SHARE * budget.seconds)
    epochs = None if budget.epochs is None else max(1, round(TRIAL_SHARE * budget.epochs))
    trial = RunOptions(
        Budget(seconds=seconds, epochs=epochs),
        limits=options.limits,
        seed=options.seed,
        device=options.device,
    )
    supernet = _begun(data, start, trial, recipe)
    search(supernet, data.train, run=Run(trial, settings={}, val=data.val), recipe=recipe)
    return choose_augmentation(supernet, data.train, data.val)


def default_recipe(start: NetworkConfig | Supernet) -> Recipe:
    """`recipe_for` a start."""
    config = start.config if isinstance(start, Supernet) else start
    return recipe_for(config.build_space(), pretrained=isinstance(start, Supernet))


def recipe_for(space: SearchSpace, *, pretrained: bool) -> Recipe:
    """`Recipe.for_pretraining()`, with the rate of `Recipe.for_transfer()` if a supernet is given.

    In a space whose paths teach each other nothing it ends with that of the genotype (docs/decisions.md, 71).
    """
    recipe = replace(Recipe.for_pretraining(), settle_share=space.settle_share)
    return replace(recipe, weight_lr=Recipe.for_transfer().weight_lr) if pretrained else recipe


def untrained(
    data: ImageDataset, start: NetworkConfig | Supernet, options: RunOptions, *, recipe: Recipe
) -> PretrainResult:
    """What `pretrain` would begin with, for checks that should not wait for a training.

    Raises:
        UnknownComponentError: the recipe names a searcher, regulariser or selection that there is not.
        InfeasibleError: no network of the space is within the limits.
    """
    return PretrainResult(_begun(data, start, options, recipe), 0.0, 0.0, (), 0.0, 0, recipe, 0)
