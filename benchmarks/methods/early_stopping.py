"""OLES (Jiang et al., NeurIPS 2023): operation-level early stopping.

An operation whose gradient on the training images no longer points where its gradient on the alphas'
images points is overfitting, which makes operations without weights look better than they are. When the
cosine of the two, averaged over a window of steps, falls under a threshold, the operation's weights stop.

Ours where code and paper leave it open: an operation is one choice of an edge over all cells of its kind, as
the alphas are; the cosine is that of its whole gradient; both gradients are taken at the same weights. A
sampled searcher sees both gradients only of an operation that both its paths hold, so its windows fill
more slowly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snt_zoo.networks.spaces.base import Owner
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.regularisers.base import Regulariser, register_regulariser

WINDOW = 20
"""Steps over which the cosine of an operation's gradients is averaged (their code)."""

THRESHOLD = 0.4
"""Mean cosine under which an operation is frozen (their code)."""


@register_regulariser("early-stopping")
class EarlyStopping(Regulariser):
    """Freezes the weights of operations that overfit."""

    def __init__(self, supernet: Supernet, recipe: Recipe, *, sampled: bool) -> None:
        super().__init__(supernet, recipe, sampled=sampled)
        self.rows = dict(supernet.trunk.operation_parameters())
        self.owners: list[Owner] = list(self.rows)
        found = {id(weight): weight for rows in self.rows.values() for weight, _ in rows}
        self.parameters: list[nn.Parameter] = list(found.values())
        device = next(supernet.parameters()).device
        count = len(self.owners)
        self.cosines = torch.zeros(count, device=device)
        self.seen = torch.zeros(count, device=device)
        self.frozen_at = torch.full((count,), -1)  # the step, on the CPU; -1 for those that still learn
        self.steps = 0
        self._validation: dict[int, Tensor] = {}
        self._held: list[tuple[Tensor, Tensor]] = []

    def obstacle(self) -> str | None:
        if not self.owners:
            return f"no operation of the space {self.supernet.config.space} has weights"
        claimed = dict.fromkeys(map(id, self.parameters), 0)
        for rows in self.rows.values():
            for weight, part in rows:
                claimed[id(weight)] += len(weight if part is None else weight[part])
        if any(claimed[id(weight)] > len(weight) for weight in self.parameters):
            return "operations share weights, so that none can be stopped without the others"
        return None

    def watched(self) -> Sequence[nn.Parameter]:
        return self.parameters

    def saw_alpha_step(self, gradients: Sequence[Tensor | None]) -> None:
        pairs = zip(self.parameters, gradients, strict=True)
        self._validation = {id(weight): gradient for weight, gradient in pairs if gradient is not None}

    @torch.no_grad()
    def before_update(self) -> None:
        if self._validation:
            self._compare()
        # Frozen: no part in the norm that is clipped, and after the step back to where it was, since
        # momentum and weight decay move weights without a gradient too.
        self._held = []
        for index in (self.frozen_at >= 0).nonzero().flatten().tolist():
            for weight, rows in self.rows[self.owners[index]]:
                part = weight if rows is None else weight[rows]
                self._held.append((part, part.detach().clone()))
                if weight.grad is not None:
                    (weight.grad if rows is None else weight.grad[rows]).zero_()

    @torch.no_grad()
    def after_update(self) -> None:
        for part, before in self._held:
            part.copy_(before)
        self._held = []

    def _compare(self) -> None:
        """Take the cosines of this step, and at the end of a window act on their means."""
        products: list[Tensor] = []
        train: list[Tensor] = []
        val: list[Tensor] = []
        for owner in self.owners:
            dots = [torch.zeros((), device=self.cosines.device)] * 3
            for weight, rows in self.rows[owner]:
                other = self._validation.get(id(weight))
                if weight.grad is None or other is None:
                    continue
                a, b = (weight.grad, other) if rows is None else (weight.grad[rows], other[rows])
                pairs = ((a, b), (a, a), (b, b))
                dots = [dot + (x * y).sum() for dot, (x, y) in zip(dots, pairs, strict=True)]
            for total, dot in zip((products, train, val), dots, strict=True):
                total.append(dot)
        norms = (torch.stack(train) * torch.stack(val)).sqrt()
        there = norms > 0
        self.cosines += torch.where(there, torch.stack(products) / norms.clamp_min(1e-30), 0.0)
        self.seen += there
        self._validation = {}
        self.steps += 1
        if self.steps % WINDOW == 0:
            self._judge()

    def _judge(self) -> None:
        full = self.seen >= WINDOW
        overfits = full & (self.cosines / self.seen.clamp_min(1) < THRESHOLD)
        newly = overfits.cpu() & (self.frozen_at < 0)
        self.frozen_at[newly] = self.steps
        self.cosines.masked_fill_(full, 0.0)
        self.seen.masked_fill_(full, 0.0)

    def report(self) -> dict[str, Any]:
        operations = self.supernet.space.operations
        frozen = []
        for (kind, row, column), step in zip(self.owners, self.frozen_at.tolist(), strict=True):
            if step >= 0:
                edge = list(self.supernet.space.edges[kind][row])
                frozen.append({"cell": kind, "edge": edge, "operation": operations[column], "step": step})
        return {
            "window": WINDOW,
            "threshold": THRESHOLD,
            "alpha_steps": self.steps,
            "operations": len(self.owners),
            "fired": bool(frozen),
            "frozen": frozen,
        }

    def state(self) -> dict[str, Tensor]:
        return {
            "cosines": self.cosines,
            "seen": self.seen,
            "frozen_at": self.frozen_at,
            "steps": torch.tensor(self.steps),
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        self.cosines.copy_(tensors["cosines"])
        self.seen.copy_(tensors["seen"])
        self.frozen_at.copy_(tensors["frozen_at"])
        self.steps = int(tensors["steps"])
