"""DARTS, second order (Liu, Simonyan and Yang, ICLR 2019, arXiv 1806.09055, section 2.3).

The alphas' loss is taken at the weights after their next step, w′(α) = w − step(∇w L_train(w, α)). Its
gradient has a second term, through w′: with v = (∂w′/∂g)ᵀ ∇w′ L_val it is the product of v with the
mixed derivative of L_train in weights and alphas, which is a difference of two gradients in the alphas at
w ± εv, ε = 0.01 / ‖v‖.

The virtual step is the one that the optimizer will make: SGD with Nesterov momentum, weight decay and the
clipped gradient, whose derivative (clipping projects out the gradient's own direction) is part of v.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from snt_zoo.networks.heads import cross_entropy, statistics_kept
from snt_zoo.search.searchers.base import Batch, register_searcher
from snt_zoo.search.searchers.darts import MixtureSearcher

RADIUS = 0.01  # of the difference quotient, over the norm of v (section 2.3)


@register_searcher("darts-2nd")
class SecondOrderSearcher(MixtureSearcher):
    """As first order, but the alphas see what the next step of the weights will do."""

    def alpha_gradients(self, validation: Batch, training: Batch) -> Sequence[Tensor | None]:
        weights = self.parameters
        # Passes at weights that never will be leave no trace in the batch norms.
        with statistics_kept(self.supernet):
            _, train = self.gradients(self.train_loss, *training, weights, inputs=self.alpha_inputs)
            gradient = _dense(train, weights)
            with self._moved(self._virtual_step(gradient)):
                wanted = [*self.alphas, *self.watched, *weights]
                _, found = self.gradients(self.alpha_loss, *validation, wanted, inputs=self.alpha_inputs)
            first, watched = found[: len(self.alphas)], found[len(self.alphas) : -len(weights)]
            vector = self._through_step(_dense(found[-len(weights) :], weights), gradient)
            second = self._mixed_derivative(training, vector)
        moved = [
            (torch.zeros_like(alpha) if a is None else a) + b
            for alpha, a, b in zip(self.alphas, first, second, strict=True)
        ]
        return [*moved, *watched]

    def train_loss(self, images: Tensor, labels: Tensor, penalty: Tensor, *inputs: Tensor) -> Tensor:
        """The weights' loss, differentiable in the alphas too; no penalty depends on weights."""
        outputs = self.alpha_outputs(images, *inputs)
        return cross_entropy(outputs, labels, self.heads, label_smoothing=self.recipe.label_smoothing)

    @torch.no_grad()
    def _virtual_step(self, gradient: Sequence[Tensor]) -> list[Tensor]:
        """What the optimizer would add to the weights for a gradient."""
        clip, _ = self._clipping(gradient)
        steps = []
        for weight, slope in zip(self.parameters, gradient, strict=True):
            group = self._group
            slope = slope * clip + group["weight_decay"] * weight
            buffer = self.optimizer.state[weight].get("momentum_buffer")
            momentum = group["momentum"]
            velocity = slope if buffer is None else momentum * buffer + slope
            steps.append(-group["lr"] * (slope + momentum * velocity))
        return steps

    @torch.no_grad()
    def _through_step(self, vector: Sequence[Tensor], gradient: Sequence[Tensor]) -> list[Tensor]:
        """(∂w′/∂g)ᵀ times a vector, where g is the gradient before it is clipped."""
        factor, norm = self._clipping(gradient)
        scale = -self._group["lr"] * (1 + self._group["momentum"])
        # Not clipped: the identity. Clipped: g·c/(‖g‖ + 10⁻⁶), whose derivative also turns with ‖g‖.
        along = sum(((v * g).sum() for v, g in zip(vector, gradient, strict=True)), torch.zeros_like(norm))
        turn = torch.where(factor < 1, along / (norm * (norm + 1e-6)).clamp_min(1e-30), 0.0)
        return [scale * factor * (v - g * turn) for v, g in zip(vector, gradient, strict=True)]

    def _mixed_derivative(self, batch: Batch, vector: Sequence[Tensor]) -> list[Tensor]:
        """∂/∂α of ⟨∇w L_train(w, α), v⟩ by a central difference in the weights."""
        norm = torch.stack([v.norm() for v in vector]).norm()
        epsilon = RADIUS / norm.clamp_min(1e-30)
        sides = []
        for sign in (1.0, -1.0):
            with self._moved([sign * epsilon * v for v in vector]):
                _, slopes = self.gradients(self.train_loss, *batch, self.alphas, inputs=self.alpha_inputs)
                sides.append(_dense(slopes, self.alphas))
        return [(above - below) / (2 * epsilon) for above, below in zip(*sides, strict=True)]

    def _clipping(self, gradient: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The factor by which `clip_grad_norm_` scales a gradient, and the gradient's norm."""
        norm = torch.stack([g.norm() for g in gradient]).norm()
        return (self.recipe.clip / (norm + 1e-6)).clamp_max(1.0), norm

    @property
    def _group(self) -> dict[str, float]:
        (group,) = self.optimizer.param_groups
        return group

    @contextlib.contextmanager
    def _moved(self, steps: Sequence[Tensor]) -> Iterator[None]:
        """The weights are moved inside, and exactly where they were after it."""
        before = [weight.detach().clone() for weight in self.parameters]
        try:
            with torch.no_grad():
                for weight, step in zip(self.parameters, steps, strict=True):
                    weight.add_(step)
            yield
        finally:
            with torch.no_grad():
                for weight, old in zip(self.parameters, before, strict=True):
                    weight.copy_(old)


def _dense(gradients: Sequence[Tensor | None], of: Sequence[Tensor]) -> list[Tensor]:
    """Gradients with zeros for those parameters that took no part."""
    return [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, of, strict=True)]
