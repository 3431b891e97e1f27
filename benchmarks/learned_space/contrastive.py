"""Train the dataset and the network encoder into one space, contrastively, on measured outcomes.

TANS (arXiv 2103.01495) pulls a dataset to any network of it. Here a dataset is pulled to networks by how well
they did on it: positives are weighted by accuracy within the task, in both directions; a pairwise rank term
orders the networks of a task (as MedNNS, arXiv 2504.15865, and Model Spider, arXiv 2306.03900); and a
regression on the logit of the accuracy makes a predictor of the same vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.learned_space.network_encoder import ID_DROPOUT, NetworkBatch, NetworkEncoder
from benchmarks.learned_space.set_encoder import SetEncoder, SketchBatch
from snt_zoo.encoders.facts import FACTS

TERMS = ("contrastive", "rank", "regression")


@dataclass(frozen=True)
class Settings:
    """How a space is trained.

    Args:
        steps: of AdamW.
        tasks: of a step.
        lr: at its highest; a cosine brings it down.
        weight_decay: of all weights.
        sharpness: by which accuracies within a task (as logits) become weights of positives.
        without: blocks of the network encoder, terms of the loss, or `samples`, `attention`, `prior` that are
            left out.
        seed: of all that is random.
    """

    steps: int = 200
    tasks: int = 16
    lr: float = 3e-3
    weight_decay: float = 0.05
    sharpness: float = 3.0
    without: frozenset[str] = field(default_factory=frozenset)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Table:
    """Outcomes by number.

    Args:
        task: int64 ``n``.
        network: int64 ``n``.
        y: logits of accuracies, float32 ``n``.
    """

    task: Tensor
    network: Tensor
    y: Tensor


Loss = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""Of the tasks of a step: numbers ``b``, vectors ``b x dim``, scores and outcomes ``b x n``, levels ``b``."""


class LearnedSpace(nn.Module):
    """Both encoders, and what makes a prediction of two vectors.

    Args:
        sizes: of a network's profile, card and topology.
        ids: how many supernets have an id.
        without: as of `Settings`.
    """

    def __init__(self, sizes: tuple[int, int, int], ids: int, *, without: Collection[str] = ()) -> None:
        super().__init__()
        self.of_data = SetEncoder(samples="samples" not in without, attention="attention" not in without)
        self.of_network = NetworkEncoder(sizes, ids, without=set(without) & set(NETWORK_BLOCKS))
        self.temperature = nn.Parameter(torch.tensor(1.5))
        self.use_prior = "prior" not in without
        self.of_prior = nn.Parameter(torch.tensor(1.0))
        self.level = nn.Linear(len(FACTS), 1)

    def score(self, data: Tensor, networks: Tensor, prior: Tensor) -> Tensor:
        """How good each network is for each dataset, ``b x n``, higher is better."""
        near: Tensor = self.temperature.exp() * (data @ networks.T)
        return near + self.of_prior * prior[None] if self.use_prior else near

    def levels(self, batch: SketchBatch) -> Tensor:
        """How easy each dataset is, ``b``."""
        _, _, known = self.of_data.scaled(batch)
        found: Tensor = self.level(known)[:, 0]
        return found


NETWORK_BLOCKS = ("profile", "sources", "card", "topology", "id")


def train_space(
    table: Table,
    tasks: SketchBatch,
    sources: SketchBatch,
    networks: NetworkBatch,
    prior: Tensor,
    settings: Settings,
    loss_of: Loss | None = None,
) -> LearnedSpace:
    """Train a space.

    Args:
        table: outcomes to learn from.
        tasks: all of its tasks.
        sources: what the networks were trained on.
        networks: all of its networks.
        prior: level of each network without any dataset, float32 ``N``.
        settings: how.
        loss_of: in the place of ours.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        sizes = networks.profile.shape[1], networks.card.shape[1], networks.topology.shape[1]
        space = LearnedSpace(sizes, int(networks.ids.max()) + 1, without=settings.without)
    rows = torch.unique(table.task)
    space.of_data.standardise(tasks.subset(rows))
    tried = torch.unique(table.network)
    space.of_network.standardise(networks.subset(tried))
    dense = torch.full((len(tasks.facts), len(networks.ids)), torch.nan)
    dense[table.task, table.network] = table.y
    optimizer = torch.optim.AdamW(space.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.lr, total_steps=settings.steps)
    for _ in range(settings.steps):
        chosen = rows[torch.randperm(len(rows), generator=generator)[: settings.tasks]]
        y = dense[chosen]
        seen = (~y.isnan()).any(0).nonzero().flatten()
        keep = torch.rand(len(seen), generator=generator) >= ID_DROPOUT
        batch = tasks.subset(chosen)
        own = space.of_network(networks.subset(seen), space.of_data(sources), keep_id=keep)
        vectors = space.of_data(batch)
        scores, levels = space.score(vectors, own, prior[seen]), space.levels(batch)
        if loss_of is None:
            loss = _loss(scores, y[:, seen], levels, settings)
        else:
            loss = loss_of(chosen, vectors, scores, y[:, seen], levels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(space.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return space.eval()


def _loss(scores: Tensor, y: Tensor, levels: Tensor, settings: Settings) -> Tensor:
    """The loss of ``b x n`` scores for outcomes of the same shape, NaN where there is none."""
    there = ~y.isnan()
    counts = there.sum(1, keepdim=True).clamp_min(1)
    filled = y.masked_fill(~there, 0)
    centred = (filled - filled.sum(1, keepdim=True) / counts) * there
    loss = scores.new_zeros(())
    if "contrastive" not in settings.without:
        for dim in (1, 0):  # from a dataset to networks, and back
            weights = (settings.sharpness * centred).masked_fill(~there, -torch.inf).softmax(dim)
            logs = scores.masked_fill(~there, -torch.inf).log_softmax(dim)
            loss = loss - (weights * logs.masked_fill(~there, 0)).nan_to_num().sum(dim).mean()
    if "rank" not in settings.without:
        apart = centred[:, :, None] - centred[:, None, :]
        both = (there[:, :, None] & there[:, None, :]) * apart.clamp_min(0)
        wrong = functional.softplus(scores[:, None, :] - scores[:, :, None])
        loss = loss + 3 * (both * wrong).sum() / both.sum().clamp_min(1e-6)
    if "regression" not in settings.without:
        errors = (levels[:, None] + scores - filled).square() * there
        loss = loss + errors.sum() / there.sum()
    return loss
