"""Finetuning a supernet's weights and alphas to a task, and deriving the network that is handed back.

The stages (ours; the papers' schedules could not be read, see docs/decisions.md):

1. `head`: batch-norm statistics are measured on the target and a head is fitted to the frozen features.
2. `search`: bilevel training of weights and alphas; weights alone at first.
3. `derived`: the genotype becomes a plain network that inherits the weights, its batch norms are measured
   again, and it is trained for the rest of the budget on the whole training split.

Several sources race first (`snt_zoo.search.adapting.race`), which takes the place of stage 1.

Without a source the same is a search from scratch: stage 1 falls away.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.device import resolve_device
from snt_zoo.networks.evaluate import Model, count_macs, count_parameters, evaluate, recalibrate
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.head import begin_on, preparation
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search.adapting.best_head import BestHead, best_head, head_state, own_state
from snt_zoo.search.adapting.race import race
from snt_zoo.search.adapting.racer import Entrant, worthwhile
from snt_zoo.search.adapting.rival import Company, Rival
from snt_zoo.search.bilevel import check_recipe, search
from snt_zoo.search.budget import Budget
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.regularisers import ENTROPY_FLOOR, soften
from snt_zoo.search.run import EpochRecord, OnEpoch, Run


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """What a run hands back.

    Args:
        model: the network, in eval mode on the CPU: the derived one, unless `returned` says otherwise.
        supernet: the adapted supernet at its best epoch, on the CPU.
        genotype: the architecture of `model`; of an ensemble that of the derived network.
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
        search: how the architecture was found: searcher, guards (what fired, and when), selection and
            constraints; plain data.
        warnings: what the user should know about it.
        returned: what `model` is: `"derived"`; or, where that did better on validation
            (`snt_zoo.search.adapting.floor`), `"head"`, the best head of the race, `"probe"`, a linear probe,
            or `"ensemble"`, the derived network and the probe together. `steps`, `history` and `supernet` are
            those of the search.
        probe: what the probe came to, as plain data; None where there was none.
        ensemble: where an ensemble is handed back, its `weights` (of the derived network and of the probe),
            its `cross_entropy` on validation in nats and that of the best network `alone`; else None.
        derived: where another network is handed back, the result of the search itself; else None.
        best_head: of a race the best head that was fitted, if it is not the winner's; see
            `snt_zoo.search.adapting.floor`.
        race: of each source that raced its id, validation accuracy and seconds by rung, whether it won, and
            else what put it out (`snt_zoo.search.adapting.race`); plain data, empty without a race.
    """

    model: Model
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
    search: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    returned: str = "derived"
    probe: Mapping[str, Any] | None = None
    ensemble: Mapping[str, Any] | None = None
    derived: FinetuneResult | None = None
    race: tuple[Mapping[str, Any], ...] = ()
    best_head: BestHead | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys of the command line's contract."""
        from snt_zoo.search.adapting.report import report_json

        return report_json(self)

    def save(self, out: str | Path) -> Path:
        """Write the model, its genotype and the report into a folder; see `snt_zoo.networks.model_folder`."""
        from snt_zoo.networks.model_folder import save_result

        return save_result(self, Path(out))


def finetune(
    data: ImageDataset,
    source: Supernet | NetworkConfig | Sequence[Entrant],
    *,
    budget: Budget,
    source_id: str = "scratch",
    recipe: Recipe | None = None,
    limits: Limits | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    folder: Path | None = None,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
    on_winner: Callable[[str], None] | None = None,
    rival: Rival | None = None,
    spent: float = 0.0,
    timer: Callable[[], float] = time.perf_counter,
) -> FinetuneResult:
    """Adapt a supernet to a dataset and derive a network from it.

    Args:
        data: the target.
        source: a pretrained supernet, the config of one to begin with fresh weights, or several that race
            for it (`snt_zoo.search.adapting.race`), each with its id and its recipe.
        budget: of the whole run. In seconds it covers search and derived training; in epochs it is the
            number of search epochs and of derived epochs each.
        source_id: what the report calls the source, where there is one.
        recipe: hyperparameters, where there is one source; by default `default_recipe(source)`.
        limits: on the parameters and MACs of the derived network.
        seed: decides the head's and fresh weights, order and augmentation.
        device: `auto`, `cpu`, `cuda`, ….
        folder: where checkpoints go.
        resume: go on from the checkpoint there.
        on_epoch: called with the record of each epoch.
        on_winner: called with the id of the source that won the race.
        rival: what the user would have without the search; its accuracy goes into the history as stage
            `probe`, that of both together as `ensemble`; its time counts. What is handed back here is the
            search's.
        spent: seconds of the budget that are gone already; of a resumed run the checkpoint knows them.
        timer: what counts the budget's seconds; wall clock by default.

    Returns:
        The derived model with its report.

    Raises:
        ResumeError: nothing to resume, or another run's checkpoint.
        DivergenceError: the loss is not finite.
        DeviceError: no such device.
    """
    limits = Limits() if limits is None else limits
    if isinstance(source, Supernet | NetworkConfig):
        entrants = [Entrant(source_id, source, default_recipe(source) if recipe is None else recipe)]
    else:
        entrants = list(source)
    for entrant in entrants:
        check_recipe(entrant.recipe)
    place = resolve_device(device)
    racing = len(entrants) > 1
    ready = None if racing else entrants[0].start(data, limits, seed, place)
    run = Run(
        budget=budget,
        seed=seed,
        settings={
            "source": "auto" if racing else entrants[0].id,
            "data": data.fingerprint,
            "recipe": " or ".join(dict.fromkeys(repr(entrant.recipe) for entrant in entrants)),
            "limits": asdict(limits),
            **({"candidates": [entrant.id for entrant in entrants]} if racing else {}),
        },
        val=data.val,
        folder=folder,
        resume=resume,
        on_epoch=on_epoch,
        spent=spent,
        timer=timer,
    )
    epochs = budget.epochs or 0

    if rival is not None:
        accuracy = rival.begin()
        if not run.history:
            run.record("probe", accuracy)
    if ready is not None:
        entrant, supernet = entrants[0], ready
    else:
        entrant, supernet = race(entrants, data, run=run, limits=limits, seed=seed, device=place)
        if on_winner is not None:
            on_winner(entrant.id)
    recipe = entrant.recipe

    if "search" not in run.finished:
        initial: float | None = None
        if racing:
            initial = run.facts["head"]
        elif isinstance(entrant.source, Supernet):
            if "head" not in run.finished:
                floor = None
                if ENTROPY_FLOOR in recipe.guards:
                    floor = soften(supernet, recipe.entropy_floor)
                began = run.clock.seconds()
                initial, norms = begin_on(supernet, data.train, data.val)
                found = {"head": initial, "floor": floor, "norms": norms}
                if budget.seconds is not None:
                    taken = run.team.largest(run.clock.seconds() - began)[0]  # of a pass, or a bit more
                    found["share"] = worthwhile(recipe, budget.seconds, taken)
                run.record("head", initial, entropy=supernet.entropy())
                run.finish("head", found, supernet.state_dict())
            else:
                supernet.load_state_dict(own_state(run.kept))
                initial = run.facts["head"]
        facts = search(
            supernet,
            data.train,
            run=run,
            recipe=recipe,
            limits=limits,
            share=run.facts.get("share", recipe.search_share),
            epochs=epochs,
            seed=seed,
            initial=initial,
            norms=run.facts.get("norms"),
        )
        if ENTROPY_FLOOR in recipe.guards:
            fresh = {"applied": False, "why": "the alphas are fresh"}
            facts["search"]["guards"][ENTROPY_FLOOR] = run.facts.get("floor") or fresh
        run.finish("search", facts, {**supernet.state_dict(), **head_state(run.kept)})
    else:
        supernet.load_state_dict(own_state(run.kept))

    genotype = supernet.genotype()
    model = DerivedModel.inherit(supernet, genotype)
    steps: dict[str, float] = {
        "supernet": run.facts["supernet"],
        "inherited": evaluate(model, data.val),
    }
    published = copy.deepcopy(model.state_dict())
    recalibrate(model, data.train)
    steps["recalibrated"] = initial = evaluate(model, data.val)
    if steps["inherited"] > initial:  # measured norms are not better as such: see `begin_on`
        model.load_state_dict(published)
        initial = steps["inherited"]
    keeps = initial > steps["recalibrated"] and supernet.space.may_be_pretrained
    training = WeightLearner(
        model, data.train, recipe=recipe, generator=run.generator, peak_lr=recipe.derived_lr
    )
    company = None if rival is None else Company(rival, run)
    steps["finetuned"] = run.fit(
        "derived",
        training,
        share=1.0,
        epochs=epochs,
        initial=initial,
        prepare=preparation(model, data.train, "published" if keeps else "measured"),
        halfway=None if company is None else company.halfway,
        # Processes that train together each see a share of the images: they ask in the end.
        better=None if company is None or run.team.size > 1 else company.better,
    )
    seconds = run.clock.seconds()
    model.placed("cpu").eval()
    return FinetuneResult(
        model=model,
        supernet=supernet.placed("cpu").eval(),
        genotype=genotype,
        accuracy={"val": steps["finetuned"], "test": evaluate(model, data.test)},
        steps=steps,
        params=count_parameters(model),
        macs=count_macs(model),
        history=tuple(run.history),
        seconds=seconds,
        source=entrant.id,
        class_names=data.class_names,
        settings=run.settings,
        search=run.facts["search"] | {"derived_steps": training.steps},
        warnings=tuple(run.facts["warnings"]),
        race=tuple(run.facts.get("race", ())),
        best_head=best_head(entrants, data, run=run, limits=limits, seed=seed),
    )


def default_recipe(source: Supernet | NetworkConfig) -> Recipe:
    """The recipe of a run: `Recipe.for_transfer()` from a supernet, `Recipe()` from scratch.

    A space whose supernets may hold a published network has large ones, of which a short run makes few steps:
    at a lower rate, and with an average over fewer of them (docs/decisions.md, 49).
    """
    if not isinstance(source, Supernet):
        return Recipe()
    recipe = Recipe.for_transfer()
    return replace(recipe, derived_lr=0.03, average=0.9) if source.space.may_be_pretrained else recipe
