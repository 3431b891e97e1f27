"""Finetuning a supernet's weights and alphas to a task, and deriving the network that is handed back.

The stages (ours; the papers' schedules could not be read, see docs/decisions.md):

1. `head`: batch-norm statistics are measured on the target and a head is fitted to the frozen features.
2. `search`: bilevel training of weights and alphas; weights alone at first.
3. `derived`: the genotype becomes a plain network that inherits the weights, its batch norms are measured
   again, and it is trained for the rest of the budget on the whole training split.

Without a source the same is a search from scratch: stage 1 falls away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from snt_zoo.data import ImageDataset, Split
from snt_zoo.data.splits import stratified_split
from snt_zoo.search.budget import Budget
from snt_zoo.search.derived import DerivedModel
from snt_zoo.search.device import resolve_device
from snt_zoo.search.evaluate import count_macs, count_parameters, evaluate, recalibrate
from snt_zoo.search.genotype import Genotype
from snt_zoo.search.head import fit_head
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.run import EpochRecord, OnEpoch, Run
from snt_zoo.search.searchers import get_searcher
from snt_zoo.search.supernet import NetworkConfig, Supernet


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """What a run hands back.

    Args:
        model: the derived network, in eval mode on the CPU.
        supernet: the adapted supernet at its best epoch, on the CPU.
        genotype: the architecture of `model`.
        accuracy: of `model`: ``{"val": …, "test": …}``, from 0 to 1.
        steps: validation accuracy on the way: of the `supernet`, of the network that `inherited` its
            weights, `recalibrated`, and `finetuned`.
        params: weights of `model`.
        macs: multiply-accumulates of `model` for one image.
        history: a record for each epoch.
        seconds: wall clock of the run.
        source: id of the supernet it came from, or `"scratch"`.
        class_names: in the order of the outputs.
        settings: what the run was asked to do.
    """

    model: DerivedModel
    supernet: Supernet
    genotype: Genotype
    accuracy: Mapping[str, float]
    steps: Mapping[str, float]
    params: int
    macs: int
    history: tuple[EpochRecord, ...]
    seconds: float
    source: str
    class_names: tuple[str, ...]
    settings: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys of the command line's contract."""
        from snt_zoo.search.report import report_json

        return report_json(self)

    def save(self, out: str | Path) -> Path:
        """Write the model, its genotype and the report into a folder; see `snt_zoo.search.model_folder`."""
        from snt_zoo.search.model_folder import save_result

        return save_result(self, Path(out))


def finetune(
    data: ImageDataset,
    source: Supernet | NetworkConfig,
    *,
    budget: Budget,
    source_id: str = "scratch",
    recipe: Recipe | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    folder: Path | None = None,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
) -> FinetuneResult:
    """Adapt a supernet to a dataset and derive a network from it.

    Args:
        data: the target.
        source: a pretrained supernet, or the config of one to begin with fresh weights.
        budget: of the whole run. In seconds it covers search and derived training; in epochs it is the
            number of search epochs and of derived epochs each.
        source_id: what the report calls the source.
        recipe: hyperparameters; by default `Recipe.for_transfer()`, or `Recipe()` from scratch.
        seed: decides the head's and fresh weights, order and augmentation.
        device: `auto`, `cpu`, `cuda`, ….
        folder: where checkpoints go.
        resume: go on from the checkpoint there.
        on_epoch: called with the record of each epoch.

    Returns:
        The derived model with its report.

    Raises:
        ResumeError: nothing to resume, or another run's checkpoint.
        DivergenceError: the loss is not finite.
        DeviceError: no such device.
    """
    if recipe is None:
        recipe = Recipe.for_transfer() if isinstance(source, Supernet) else Recipe()
    place = resolve_device(device)
    run = Run(
        budget=budget,
        seed=seed,
        settings={"source": source_id, "data": data.fingerprint, "recipe": repr(recipe)},
        val=data.val,
        folder=folder,
        resume=resume,
        on_epoch=on_epoch,
    )
    supernet = starting_point(source, data.num_classes, seed).to(place)
    epochs = budget.epochs or 0

    if "search" not in run.finished:
        initial: float | None = None
        if isinstance(source, Supernet):
            if "head" not in run.finished:
                recalibrate(supernet, data.train)
                fit_head(supernet, data.train)
                initial = evaluate(supernet, data.val)
                run.record("head", initial, entropy=supernet.entropy())
                run.finish("head", {"head": initial}, supernet.state_dict())
            else:
                supernet.load_state_dict(run.kept)
                initial = run.facts["head"]
        weight_part, alpha_part = bilevel_parts(data.train, recipe, seed=seed)
        searching = get_searcher(recipe.searcher)(
            supernet,
            weight_part,
            alpha_part,
            recipe=recipe,
            generator=run.generator,
            peak_lr=recipe.weight_lr,
        )
        accuracy = run.fit("search", searching, share=recipe.search_share, epochs=epochs, initial=initial)
        run.finish("search", {"supernet": accuracy}, supernet.state_dict())
    else:
        supernet.load_state_dict(run.kept)

    genotype = supernet.genotype()
    model = DerivedModel.inherit(supernet, genotype)
    steps: dict[str, float] = {
        "supernet": run.facts["supernet"],
        "inherited": evaluate(model, data.val),
    }
    recalibrate(model, data.train)
    steps["recalibrated"] = evaluate(model, data.val)
    training = WeightLearner(
        model, data.train, recipe=recipe, generator=run.generator, peak_lr=recipe.derived_lr
    )
    steps["finetuned"] = run.fit("derived", training, share=1.0, epochs=epochs, initial=steps["recalibrated"])
    seconds = run.clock.seconds()
    model.cpu().eval()
    return FinetuneResult(
        model=model,
        supernet=supernet.cpu().eval(),
        genotype=genotype,
        accuracy={"val": steps["finetuned"], "test": evaluate(model, data.test)},
        steps=steps,
        params=count_parameters(model),
        macs=count_macs(model),
        history=tuple(run.history),
        seconds=seconds,
        source=source_id,
        class_names=data.class_names,
        settings=run.settings,
    )


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


def starting_point(source: Supernet | NetworkConfig, num_classes: int, seed: int) -> Supernet:
    """A supernet with a fresh head for a task: a copy of one that there is, or one with fresh weights."""
    # A generator of its own: a resumed run begins with the same weights and draws nothing for them.
    generator = torch.Generator().manual_seed(seed)
    if isinstance(source, Supernet):
        return source.with_head(num_classes, generator=generator)
    return Supernet.create(replace(source, num_classes=num_classes), generator=generator)
