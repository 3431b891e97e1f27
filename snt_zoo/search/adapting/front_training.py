"""The networks of a front (`snt_zoo.search.adapting.front`), each trained in its share of the budget."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

from snt_zoo.data import ImageDataset
from snt_zoo.errors import DivergenceError
from snt_zoo.networks.bounds import derived_size
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import accuracy
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.adapting.floor import Floor
from snt_zoo.search.adapting.front import Front, Point
from snt_zoo.search.adapting.front_choice import chosen, compared, outwards, shares_of
from snt_zoo.search.adapting.inherited import Inherited, looked_at
from snt_zoo.search.adapting.race import IMAGES
from snt_zoo.search.checkpoint import nest, unnest
from snt_zoo.search.run import FrontRow, Run


def train_front(
    candidate: Candidate, supernet: Supernet, data: ImageDataset, run: Run, floor: Floor | None
) -> Front:
    """Compare networks of a supernet, and train a few in what is left of the budget.

    The first is one of middling size; then those beside it, outwards. Each begins with what those before it
    have in common with it, so that what one learned of the task is learned once.

    Args:
        candidate: that goes on.
        supernet: its, with a head for the task; not changed.
        data: the task.
        run: keeps time, and what is trained already.
        floor: when half of them are trained it looks at the best, and may look at more images.
    """
    if not run.facts.front:
        found = compared(candidate, supernet, data, run)
        run.note(compared=tuple((each.macs, each.accuracy) for each in found))
        picked = chosen(found)
        rows = [FrontRow(p.genotype.to_json(), p.input_size, p.macs, p.accuracy) for p in picked]
        _keep(run, supernet, rows, {})
    elif floor is not None and run.facts.grown:
        floor.grow()
    rows = list(run.facts.front)
    order = outwards(len(rows))
    models = {index: _kept(run, supernet, rows[index], index) for index in order if rows[index].trained}
    reserved = 0.0 if floor is None else floor.reserve(run.left(), 0.0)
    for place, index in enumerate(order):
        if rows[index].trained is not None:
            continue
        begun = Inherited.of(
            candidate,
            supernet,
            data,
            run,
            genotype=Genotype.from_json(rows[index].genotype),
            input_size=rows[index].input_size,
            before=tuple(models.values()),
        )
        begun.fit_head(data, IMAGES)
        if rows[index].end is None:
            waiting = order[place:]
            others = sum(rows[each].macs for each in waiting[1:]) / rows[index].macs
            untrained = begun.pace * looked_at(data, IMAGES) * others  # seconds
            rows[index] = replace(rows[index], end=_end(rows, waiting, run, reserved + untrained))
            run.note(front=tuple(rows))
        begins = copy.deepcopy(begun.model)
        try:
            trained = begun.train(candidate, data, run, stage=stage_of(index), share=rows[index].end or 1.0)
        except DivergenceError:  # the others may be worth having, and this one as it began
            begun.model = begins
            trained = begun.untrained(data)
        steps = trained.steps | {"test": accuracy(trained.test, data.test.labels)}
        rows[index], models[index] = replace(rows[index], trained=steps), trained.model
        _keep(run, supernet, rows, models)
        if floor is not None and place + 1 == len(rows) // 2:
            best = max(models, key=lambda each: _val(rows[each]))
            floor.look(models[best], _val(rows[best]))
            floor.halfway(_val(rows[best]))
    return Front.of([_point(models[index], row) for index, row in enumerate(rows)], run.facts.compared)


def stage_of(index: int) -> str:
    """What the training of a front's network is called."""
    return f"network {index + 1}"


def _end(rows: Sequence[FrontRow], waiting: Sequence[int], run: Run, reserved: float) -> float:
    """When the training of the first of those that wait ends, which share what is left.

    Args:
        rows: all networks.
        waiting: places of those whose training has not begun.
        run: keeps time.
        reserved: seconds for something else: the floor, and what the others take beside their training.
    """
    if run.budget.seconds is None:
        return 1.0
    shares = shares_of([row.macs for row in rows])
    share = shares[waiting[0]] / sum(shares[index] for index in waiting)
    return (run.seconds() + share * max(run.left() - reserved, 0.0)) / run.budget.seconds


def _val(row: FrontRow) -> float:
    assert row.trained is not None
    return row.trained["finetuned"]


def _point(model: DerivedModel, row: FrontRow) -> Point:
    assert row.trained is not None
    params, macs = derived_size(model.config, model.genotype)
    steps = {name: share for name, share in row.trained.items() if name != "test"}
    return Point(model, {"val": _val(row), "test": row.trained["test"]}, params, macs, steps)


def _keep(run: Run, supernet: Supernet, rows: Sequence[FrontRow], models: Mapping[int, DerivedModel]) -> None:
    """Write a checkpoint with all that is trained."""
    tensors = nest("supernet", supernet.state_dict())
    for index, model in models.items():
        tensors |= nest(stage_of(index), model.state_dict())
    run.finish("front", tensors, front=tuple(rows))


def _kept(run: Run, supernet: Supernet, row: FrontRow, index: int) -> DerivedModel:
    """A network that was trained before an interruption."""
    model = DerivedModel.inherit(supernet, Genotype.from_json(row.genotype)).at(row.input_size)
    model.load_state_dict(unnest(stage_of(index), run.kept))
    return model.placed("cpu").eval()
