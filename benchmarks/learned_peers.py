"""Methods of others among the arms of `benchmarks.learned`: TANS, MedNNS, H-score, LogME and OTDD.

The last three look at a target's images through every network, or at samples of both datasets, which takes
seconds for each. So they are asked about the targets of the transfer benchmark alone: OTDD as the rows of its
part `retrieval` have it, H-score and LogME anew, on the features to which heads were fitted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.document import RESULTS
from benchmarks.json_lines import read_rows
from benchmarks.learned_arms import GROUPS, inputs_of, learned, table_of
from benchmarks.learned_space.network_encoder import NetworkBatch
from benchmarks.learned_space.set_encoder import SketchBatch
from benchmarks.learned_world import World
from benchmarks.transfer_plan import TARGETS
from snt_zoo.data import open_dataset
from snt_zoo.encoders.distances.logme import log_evidence
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import features, recalibrate
from snt_zoo.registry.registry import Registry
from snt_zoo.workflows.measure import Task
from zoo.folds import original


def ranked(world: World, arm: str, rows: Path = RESULTS / "transfer.jsonl") -> Tensor:
    """Minus the place of each own network in the rankings of the transfer benchmark, or NaN."""
    found = torch.full((len(world.whole), len(world.own)), torch.nan).double()
    row_of = {world.tasks.keys[t][0]: r for r, t in enumerate(world.whole)}
    for row in read_rows(rows):
        if row["part"] == "retrieval" and row["arm"] == arm and row["target"] in row_of:
            for place, name in enumerate(row["ranking"]):
                if (column := world.column.get(original(name))) is not None:
                    found[row_of[row["target"]], column] = -place
    return found


Score = Callable[[Tensor, Tensor], float]


def h_score(x: Tensor, labels: Tensor) -> float:
    """How much of the variance of features, whitened, lies between classes, larger is better.

    Bao et al. 2019 (An information-theoretic approach to transferability), with the covariance shrunk as in
    Ibrahim, Ponomareva and Mazumder 2021 (arXiv 2110.06893): there are fewer images than features.

    Args:
        x: ``n x d``.
        labels: int64 ``n``.
    """
    x = x.double()
    x = x - x.mean(0)
    n, dim = x.shape
    covariance = x.T @ x / n
    size = covariance.diagonal().mean()
    # Ledoit and Wolf 2004: the share that minimises the expected squared error.
    squared = x.square()
    spread = ((squared.T @ squared).sum() / n - covariance.square().sum()) / n
    apart = covariance.square().sum() - dim * size**2
    share = float((spread / apart.clamp_min(1e-30)).clamp(0, 1))
    shrunk = (1 - share) * covariance + share * size * torch.eye(dim, dtype=x.dtype)
    classes, inverse = torch.unique(labels, return_inverse=True)
    onehot = functional.one_hot(inverse, len(classes)).double()
    means = (onehot.T @ x) / onehot.sum(0)[:, None]
    between = (means[inverse].T @ means[inverse]) / n
    return float((1 - share) * torch.linalg.solve(shrunk + 1e-12 * torch.eye(dim), between).trace())


SCORES: dict[str, Score] = {"h-score": h_score, "logme": log_evidence}


def by_features(world: World, score: str, refs: Sequence[str], registry: Registry) -> Tensor:
    """A score of the features that every own network has of each target; NaN of other datasets.

    What was measured is kept in a file of the cache.
    """
    path = world.cache / "feature_scores.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    columns = [(world.networks.keys[n][0], world.networks.names[n]) for n in world.own]
    derived: dict[str, DerivedModel] = {}
    for ref in refs:
        target = Path(ref).stem
        missing = [(id, name) for id, name in columns if f"{target}/{name}" not in known]
        if target not in TARGETS or not missing:
            continue
        task = Task.of(open_dataset(ref), "", target)
        for id, name in missing:
            if id not in derived:
                derived[id] = DerivedModel.inherit(registry.get(id).supernet)
            known[f"{target}/{name}"] = _scores(derived[id], task)
        path.write_text(json.dumps(known))
    rows = [[known.get(f"{world.tasks.keys[t][0]}/{name}", {}) for _, name in columns] for t in world.whole]
    return torch.tensor([[each.get(score, torch.nan) for each in row] for row in rows]).double()


def _scores(network: DerivedModel, task: Task) -> dict[str, float]:
    """All of `SCORES`; one that computes no numbers comes last."""
    if not network.space.may_be_pretrained:
        recalibrate(network, task.train)
    x = features(network, task.train)[0]
    finite = bool(x.isfinite().all())
    return {name: score(x, task.train.labels) if finite else -1e9 for name, score in SCORES.items()}


def mednns(world: World, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The space of ours with the losses of MedNNS (arXiv 2504.15865), whose code for them is not public.

    Networks of a task are ordered by a hinge of every pair, whatever its difference; datasets lie as far
    apart as their Fréchet distances say, here those of their moments; and a regression on accuracy.
    """
    return learned(world, seed, partial(_mednns, world.moments.float()))


def _mednns(moments: Tensor, rows: Tensor, data: Tensor, scores: Tensor, y: Tensor, levels: Tensor) -> Tensor:
    there = ~y.isnan()
    filled = y.masked_fill(~there, 0)
    above = (y[:, :, None] > y[:, None, :]) & there[:, :, None] & there[:, None, :]
    wrong = (0.2 - (scores[:, :, None] - scores[:, None, :])).clamp_min(0)
    rank = wrong[above].mean()
    apart, near = torch.cdist(moments[rows], moments[rows]), torch.cdist(data, data)
    frechet = (near / 2 - apart / apart.max().clamp_min(1e-6)).square().mean()
    errors = (levels[:, None] + scores - filled).square() * there
    return rank + frechet + errors.sum() / there.sum()


class Tans(nn.Module):
    """As the released code does it (arXiv 2103.01495), on sketches; see the issue's note for what that is.

    A dataset is the mean of its sampled features after one linear layer; a network its topology and its
    response after one linear layer; a linear layer on both predicts accuracy.
    """

    def __init__(self, network_dim: int) -> None:
        super().__init__()
        self.data, self.network = nn.Linear(64, 128), nn.Linear(network_dim, 128)
        self.predict = nn.Linear(256, 1)

    def of_data(self, batch: SketchBatch) -> Tensor:
        """``b x 128``, of unit length."""
        there = batch.drawn.float()[..., None]
        mean = (self.data(batch.samples) * there).sum(1) / there.sum(1).clamp_min(1)
        return functional.normalize(mean, dim=1)

    def of_network(self, batch: NetworkBatch) -> Tensor:
        """``n x 128``, of unit length."""
        x = functional.normalize(torch.cat([batch.topology, batch.profile], 1), dim=1)
        return functional.normalize(self.network(x), dim=1)


def tans(world: World, seed: int = 0, *, steps: int = 300) -> Tensor:
    """Positives are networks that were trained on the dataset, as in TANS; here: on the task's source.

    Each batch has one network of each source dataset, and a hinge in both directions pushes apart all others.
    """
    tasks, sources, networks = inputs_of(world)
    table = table_of(world)
    scores = torch.zeros(len(world.whole), len(world.own))
    single = [n for n, numbers in enumerate(world.networks.sources) if len(numbers) == 1]
    of_source: dict[int, list[int]] = {}
    for n in single:
        of_source.setdefault(world.networks.sources[n][0], []).append(n)
    for group in world.groups(GROUPS):
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Tans(networks.topology.shape[1] + networks.profile.shape[1])
        free = [s for s in of_source if world.source_parent[s] not in group]
        outside = torch.tensor([parent not in group for parent in world.tasks.parent])[table.task]
        known = outside.nonzero().flatten()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(steps):
            chosen = [
                of_source[s][int(torch.randint(len(of_source[s]), (), generator=generator))] for s in free
            ]
            q = model.of_data(sources.subset(torch.tensor(free)))
            m = model.of_network(networks.subset(torch.tensor(chosen)))
            near = q @ m.T
            own = near.diagonal()
            wrong = ~torch.eye(len(free), dtype=torch.bool)
            hinge = (0.2 - own[:, None] + near).clamp_min(0)[wrong].mean()
            hinge = hinge + (0.2 - own[None, :] + near).clamp_min(0)[wrong].mean()
            rows = known[torch.randint(len(known), (32,), generator=generator)]
            both = [
                model.of_data(tasks.subset(table.task[rows])),
                model.of_network(networks.subset(table.network[rows])),
            ]
            said = model.predict(torch.cat(both, 1))[:, 0].sigmoid()
            loss = hinge + (said - table.y[rows].sigmoid()).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        rows = torch.tensor([r for r, parent in enumerate(world.parent) if parent in group])
        with torch.no_grad():
            data = model.of_data(tasks.subset(torch.tensor(world.whole)[rows]))
            own_networks = model.of_network(networks.subset(torch.tensor(world.own)))
            scores[rows] = data @ own_networks.T
    return scores.double()
