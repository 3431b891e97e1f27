"""Finetuning a supernet's weights and alphas to a task, and deriving the network that is handed back.

The stages (ours; the papers' schedules could not be read, see docs/decisions.md), each a function of the one
before:

1. `race`, where there are several candidates: which one goes on (`snt_zoo.search.adapting.race`).
2. `head`: batch-norm statistics are measured on the task and a head is fitted to the frozen features. Fresh
   weights have no such stage.
3. `search`: bilevel training of weights and alphas; weights alone at first.
4. `derived`: the genotype becomes a plain network that inherits the weights, its batch norms are measured
   again, and it is trained for the rest of the budget on the whole training split.
5. The floor: whether something else than the derived network is handed back
(`snt_zoo.search.adapting.floor`).

With `pareto` several networks are trained in place of 3 and 4 (`snt_zoo.search.adapting.front`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.networks.bounds import derived_size
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.device import resolve_device
from snt_zoo.networks.evaluate import accuracy
from snt_zoo.networks.supernet import Supernet
from snt_zoo.networks.trained_on import TrainedOn, shared_images
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.adapting.floor import Floor
from snt_zoo.search.adapting.front import Front, Point
from snt_zoo.search.adapting.front_training import train_front
from snt_zoo.search.adapting.inherited import Inherited, Trained
from snt_zoo.search.adapting.race import LEAST_PASSES, PASS_COST, Head, affordable, images_for_head, race
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.bilevel import search
from snt_zoo.search.checkpoint import unnest
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.run import Begun, Run, RunOptions, Searched
from snt_zoo.search.softening import soften


def finetune(
    data: ImageDataset,
    candidates: Sequence[Candidate],
    options: RunOptions,
    *,
    floor: Floor | None = None,
    on_source: Callable[[str], None] | None = None,
    pareto: bool = False,
) -> FinetuneResult:
    """Adapt a supernet to a dataset and derive a network from it.

    Args:
        data: the task.
        candidates: several race for it.
        options: of the run.
        floor: what there is without a search; its time counts. Without one the derived network is handed
            back.
        on_source: called with the id of the candidate that is trained.
        pareto: train several networks of the supernet, small and large, in place of a search
            (`snt_zoo.search.adapting.front`); the most accurate one is under the floor.

    Raises:
        ResumeError: nothing to resume, or another run's checkpoint.
        DivergenceError: the loss is not finite.
        DeviceError: no such device.
        InfeasibleError: no candidate has a network within the limits.
    """
    device = resolve_device(options.device)
    run = Run(options, settings=_settings(candidates, data, options, pareto), val=data.val)
    if floor is not None:
        floor.attend(run)
    candidate, supernet = _begin(candidates, data, run, device)
    if on_source is not None:
        on_source(candidate.id)
    front: Front | None = None
    if pareto:
        front = train_front(candidate, supernet, data, run, floor)
        best = front.points[-1]
        assert isinstance(best.model, DerivedModel)
        model, steps, test, accuracies = best.model, best.steps, None, best.accuracy
        searched = Searched(steps["finetuned"], {"constraints": options.limits.to_json()})
    else:
        searched = _search(candidate, supernet, data, run)
        trained = _train(candidate, supernet, searched, data, run, floor)
        model, steps, test = trained.model, trained.steps, trained.test
        accuracies = {"val": steps["finetuned"], "test": accuracy(test, data.test.labels)}
        searched = replace(searched, report=searched.report | {"derived_steps": trained.derived_steps})
    params, macs = derived_size(model.config, model.genotype)
    result = FinetuneResult(
        model=model,
        supernet=supernet.placed("cpu").eval(),
        genotype=model.genotype,
        accuracy=accuracies,
        steps=steps,
        params=params,
        macs=macs,
        history=tuple(run.history),
        seconds=run.clock.seconds(),
        source=candidate.id,
        class_names=data.class_names,
        settings=run.settings,
        search=searched.report,
        warnings=(*searched.warnings, *shared_images(data)),
        race=() if run.facts.begun is None else run.facts.begun.race,
        licences=candidate.licences,
        trained_on=TrainedOn.of(data),
    )
    if floor is not None:
        result = floor.under(result, device, test)
    if front is not None and result.derived is not None:
        other = Point(result.model, result.accuracy, result.params, result.macs, {}, result.returned)
        front = front.joined_by(other)
    return replace(result, front=front, seconds=run.clock.seconds())


def _settings(
    candidates: Sequence[Candidate], data: ImageDataset, options: RunOptions, pareto: bool
) -> dict[str, Any]:
    """What the run is asked to do, by which it is known again when it is resumed."""
    ids = [candidate.id for candidate in candidates]
    return {
        "source": ids[0] if len(ids) == 1 else "auto",
        "data": data.fingerprint,
        "recipe": " or ".join(dict.fromkeys(repr(candidate.recipe) for candidate in candidates)),
        "limits": options.limits.to_json(),
        **({} if len(ids) == 1 else {"candidates": ids}),
        **({"pareto": True} if pareto else {}),
    }


def _begin(
    candidates: Sequence[Candidate], data: ImageDataset, run: Run, device: torch.device
) -> tuple[Candidate, Supernet]:
    """The candidate that goes on, and its supernet as the search begins with it."""
    begun = run.facts.begun
    if begun is not None:
        candidate = next(candidate for candidate in candidates if candidate.id == begun.source)
        supernet = candidate.start(data, run.options.limits, run.seed, device)
        supernet.load_state_dict(unnest("supernet", run.kept) or run.kept)  # the former of a front
        return candidate, supernet
    head: Head | None = None
    rows: tuple[dict[str, Any], ...] = ()
    if len(candidates) > 1:
        head, rows = race(candidates, data, run, device)
        candidate, supernet = head.candidate, head.supernet
    else:
        candidate = candidates[0]
        supernet = candidate.start(data, run.options.limits, run.seed, device)
    share, softened = candidate.recipe.search_share, None
    if isinstance(candidate.source, Supernet):
        if candidate.recipe.least_entropy:
            softened = soften(supernet, candidate.recipe.least_entropy)
        if head is None:
            images = images_for_head(supernet, data.train, run)
        else:
            images = max(head.images, affordable(run, head.seconds / head.images, supernet))
        train = data.train.thinned(images)
        if head is None or head.images < len(train):
            head = Head.fit(candidate, supernet, train, run, None if head is None else head.norms)
            run.record("head", head.accuracy, entropy=supernet.entropy())
        image_pass = head.seconds * len(data.train) / head.images
        share = worthwhile(candidate.recipe, run.budget.seconds, image_pass)
    begun = Begun(
        source=candidate.id,
        accuracy=None if head is None else head.accuracy,
        norms=None if head is None else head.norms,
        share=_end_of_search(share, run),
        softened=softened,
        race=rows,
    )
    run.finish("head", supernet.state_dict(), begun=begun)
    return candidate, supernet


def worthwhile(recipe: Recipe, seconds: float | None, image_pass: float) -> float:
    """The share of a search after a transfer: none where it is too short to gain on the head.

    In runs of a minute the supernet ended below the head that was fitted before it: docs/decisions.md, 46
    and 54.

    Args:
        recipe: that has the share, and the fewest passes.
        seconds: of the budget; None where epochs are counted.
        image_pass: seconds of a forward pass of all training images.
    """
    if seconds is None:
        return recipe.search_share
    least = recipe.search_passes * PASS_COST * image_pass
    return recipe.search_share if recipe.search_share * seconds >= least else 0.0


def _end_of_search(share: float, run: Run) -> float:
    """When a search of some share of the budget ends that begins now; it leaves half of what is left."""
    if run.budget.seconds is None or not share:
        return share
    gone = run.seconds() / run.budget.seconds
    return min(gone + share, (gone + 1) / 2)


def _search(candidate: Candidate, supernet: Supernet, data: ImageDataset, run: Run) -> Searched:
    """The stage `search`; the supernet is left with the alphas of its genotype."""
    if run.facts.searched is None:
        begun = run.facts.begun
        assert begun is not None
        found = search(
            supernet,
            data.train,
            run=run,
            recipe=candidate.recipe,
            share=begun.share,
            initial=begun.accuracy,
            norms=begun.norms,
        )
        found = replace(found, report=found.report | {"softened": begun.softened})
        run.finish("search", supernet.state_dict(), searched=found)
        return found
    return run.facts.searched


def _train(
    candidate: Candidate,
    supernet: Supernet,
    searched: Searched,
    data: ImageDataset,
    run: Run,
    floor: Floor | None,
) -> Trained:
    """The stage `derived`."""
    begun = Inherited.of(candidate, supernet, data, run)
    begun.steps = {"supernet": searched.accuracy, **begun.steps}
    reserved = 0.0
    if floor is not None:
        room = run.left() - begun.pace * len(data.test)
        reserved = floor.reserve(room, LEAST_PASSES * PASS_COST * begun.pace * len(data.train))
        floor.go_on()
    return begun.train(
        candidate,
        data,
        run,
        rest=reserved,
        halfway=None if floor is None else floor.halfway,
        # Processes that train together each see a share of the images: they ask in the end.
        better=None if floor is None or run.team.size > 1 else floor.better,
    )
