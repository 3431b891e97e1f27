"""The search stage that finetuning and pretraining share: bilevel training, then the architecture."""

from __future__ import annotations

from dataclasses import replace

import torch

from snt_zoo.data import Augmentation, Split
from snt_zoo.data.splits import stratified_split
from snt_zoo.networks.head import Norms, preparation
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search.conflict import check_conflict
from snt_zoo.search.mirroring import AUTO
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.regularisers import get_regulariser
from snt_zoo.search.run import Run, Searched
from snt_zoo.search.searchers import Searcher, get_searcher
from snt_zoo.search.selection import check_selection, select
from snt_zoo.search.stage import fit


def check_recipe(recipe: Recipe) -> None:
    """Raise `UnknownComponentError` for a searcher, regulariser or selection that there is not."""
    get_searcher(recipe.searcher)
    check_selection(recipe.selection)
    check_conflict(recipe.conflict)
    for name in recipe.augmentation.split():
        if name != AUTO:
            Augmentation.named(name)
    for name in recipe.regularisers:
        get_regulariser(name)


def fresh_config(
    config: NetworkConfig, recipe: Recipe, num_classes: int, heads: tuple[int, ...] = ()
) -> NetworkConfig:
    """What a search from fresh weights begins with: the config as the recipe's searcher needs it."""
    return replace(get_searcher(recipe.searcher).prepared(config), num_classes=num_classes, heads=heads)


def search(
    supernet: Supernet,
    train: Split,
    *,
    run: Run,
    recipe: Recipe,
    share: float = 1.0,
    initial: float | None = None,
    norms: Norms | None = None,
) -> Searched:
    """Train weights and alphas; leave the supernet at its best epoch, with the alphas of its genotype.

    Args:
        supernet: changed in place.
        train: images; parted between weights and alphas.
        run: that keeps time and checkpoints.
        recipe: hyperparameters.
        share: of a budget in seconds, counted from the start of the run.
        initial: validation accuracy on entry, which then competes.
        norms: whose batch norms it has then (`snt_zoo.networks.head`).
    """
    searcher = make_searcher(supernet, train, recipe=recipe, generator=run.generator, seed=run.seed)
    prepare = preparation(supernet, train, norms)
    accuracy = fit(run, "search", searcher, share=share, initial=initial, prepare=prepare)
    entropy = supernet.entropy()
    genotype, selection = supernet.genotype(), {"method": "source"}  # as it came, if nothing was searched
    if searcher.decided:
        selection = {"method": recipe.selection, "before": "the path was trained"}
    elif searcher.steps:
        genotype, selection = select(searcher)
    supernet.commit(genotype)
    limits = run.options.limits
    report = {
        "searcher": recipe.searcher,
        "steps": searcher.steps,
        "entropy": entropy,
        "regularisers": searcher.report(),
        "selection": selection,
        "constraints": limits.to_json() | limits.costs_of(supernet.config, genotype),
    }
    return Searched(accuracy, report, tuple(searcher.warnings()))


def make_searcher(
    supernet: Supernet, train: Split, *, recipe: Recipe, generator: torch.Generator, seed: int
) -> Searcher:
    """The recipe's searcher for a supernet.

    Args:
        supernet: that it trains in place.
        train: images; parted between weights and alphas by the seed.
        recipe: hyperparameters.
        generator: its seed decides what is random in training.
        seed: parts the images.
    """
    weight_part, alpha_part = bilevel_parts(train, recipe, seed=seed)
    return get_searcher(recipe.searcher)(
        supernet,
        weight_part,
        alpha_part,
        recipe=recipe,
        generator=generator,
        peak_lr=recipe.weight_lr,
    )


def starting_point(
    source: Supernet | NetworkConfig,
    num_classes: int,
    recipe: Recipe,
    seed: int,
    *,
    heads: tuple[int, ...] = (),
) -> Supernet:
    """A supernet with a fresh head, or several: a copy of one that there is, or one with fresh weights."""
    # A generator of its own: a resumed run begins with the same weights and draws nothing for them.
    generator = torch.Generator().manual_seed(seed)
    if isinstance(source, Supernet):
        return source.with_head(num_classes, generator=generator, heads=heads)
    return Supernet.create(fresh_config(source, recipe, num_classes, heads), generator=generator)


def bilevel_parts(train: Split, recipe: Recipe, *, seed: int) -> tuple[Split, Split]:
    """The part of the training split that trains weights and the part that trains alphas.

    Drawn by the seed alone, so that a resumed run parts alike. Where no class has an image to spare,
    both learn from all.
    """
    rest, held_out = stratified_split(
        train.labels, (recipe.alpha_share,), generator=torch.Generator().manual_seed(seed)
    )
    if len(held_out) == 0:
        return train, train
    return train.subset(rest), train.subset(held_out)
