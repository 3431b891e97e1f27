"""Entropic Optimal Transport and its debiased divergence, in batches, on CPU and GPU.

    OT_ε(α, β) = min_P ⟨P, C⟩ + ε KL(P | α ⊗ β) = max_{f,g} ⟨α, f⟩ + ⟨β, g⟩ − ε ⟨P − α ⊗ β, 1⟩
    S_ε(α, β)  = OT_ε(α, β) − ½ OT_ε(α, α) − ½ OT_ε(β, β)       (Feydy et al. 2019, arXiv 1810.08278)

Sinkhorn's iteration (Cuturi 2013) in the domain of scalings, stabilised: the potentials are absorbed into
the kernel whenever ε falls and whenever a scaling grows large (Schmitzer 2019, arXiv 1610.06519), so that it
does what a log-domain iteration does, while almost every step is one matrix-vector product and no
exponential. The terms of one measure with itself use the symmetric iteration of Feydy et al., which takes a
few steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from snt_zoo.encoders.transport.deadline import Deadline

TOLERANCE = 1e-6  # sum of the absolute errors of the marginals
MAX_ITERATIONS = 5000  # then the answer is given as it is, with its error
_STEEPEST = 100.0  # ε-scaling begins at largest cost / this: exp(−100) is far from float64's smallest number
_FALL = 4.0  # ε falls by this factor
_LARGE = 1e80  # scalings beyond this are absorbed
_ROUGH = 1e-2  # tolerance before the last ε
_CHECK = 5  # iterations between looks at the error


@dataclass(frozen=True, eq=False)
class Entropic:
    """Solutions of a batch of entropic problems.

    Args:
        values: OT_ε, ``batch``.
        plans: ``batch x n x m``; their columns sum to the right masses.
        errors: sum of the absolute errors of the left marginal, ``batch``.
        iterations: so many were made.
    """

    values: Tensor
    plans: Tensor
    errors: Tensor
    iterations: int


def sinkhorn(
    costs: Tensor,
    left: Tensor,
    right: Tensor,
    *,
    epsilon: float,
    tolerance: float = TOLERANCE,
    deadline: Deadline | None = None,
) -> Entropic:
    """Solve a batch of entropic transport problems.

    Args:
        costs: float64 ``batch x n x m``, at least 0.
        left: masses ``batch x n``, each sums to 1; a zero makes a point absent.
        right: masses ``batch x m``, likewise.
        epsilon: strength of the entropy, in units of the cost.
        tolerance: of the left marginal; the right one is met exactly.
        deadline: when to give up.

    Raises:
        TimeLimitError: the deadline has passed.
    """
    limit = deadline or Deadline()
    f, g = torch.zeros_like(left), torch.zeros_like(right)
    iterations, errors = 0, left.new_zeros(len(left))
    for eps in _schedule(costs, epsilon):
        goal = tolerance if eps == epsilon else _ROUGH
        kernel = _kernel(costs, f, g, eps)
        u, v = torch.ones_like(left), torch.ones_like(right)
        while True:
            rows = _times(kernel, right * v)
            iterations += 1
            if iterations % _CHECK == 0 or iterations == 1:
                limit.check("entropic transport")
                errors = (left * (u * rows - 1)).abs().sum(1)
                if float(errors.max()) < goal or iterations >= MAX_ITERATIONS:
                    break
            u = 1 / rows
            v = 1 / _times(kernel.mT, left * u)
            if _too_large(u) or _too_large(v):
                f, g = f + eps * u.log(), g + eps * v.log()
                kernel = _kernel(costs, f, g, eps)
                u, v = torch.ones_like(left), torch.ones_like(right)
        f, g = f + eps * u.log(), g + eps * v.log()
    values = (left * f).sum(1) + (right * g).sum(1)
    mass = (left * u * rows).sum(1)  # 1 once the right marginal was met
    plans = kernel.mul_((left * u)[:, :, None]).mul_((right * v)[:, None, :])
    return Entropic(values - epsilon * (mass - 1), plans, errors, iterations)


def self_transport(
    costs: Tensor,
    masses: Tensor,
    *,
    epsilon: float,
    tolerance: float = TOLERANCE,
    deadline: Deadline | None = None,
) -> Tensor:
    """OT_ε of measures with themselves, ``batch``.

    Args:
        costs: symmetric, float64 ``batch x n x n``.
        masses: ``batch x n``.
        epsilon: as in `sinkhorn`, and so are the others.
    """
    limit = deadline or Deadline()
    f = torch.zeros_like(masses)
    iterations = 0
    for eps in _schedule(costs, epsilon):
        goal = tolerance if eps == epsilon else _ROUGH
        kernel, u = _kernel(costs, f, f, eps), torch.ones_like(masses)
        while True:
            sums = _times(kernel, masses * u)
            iterations += 1
            error = float((masses * (u * sums - 1)).abs().sum(1).max())
            if error < goal or iterations >= MAX_ITERATIONS:
                break
            limit.check("entropic transport")
            u = (u / sums).sqrt()  # half a step: the full one would swing for ever
            if _too_large(u):
                f = f + eps * u.log()
                kernel, u = _kernel(costs, f, f, eps), torch.ones_like(masses)
        f = f + eps * u.log()
    values: Tensor = 2 * (masses * f).sum(1) - epsilon * ((masses * u * sums).sum(1) - 1)
    return values


def _schedule(costs: Tensor, epsilon: float) -> list[float]:
    """Falling values of ε, the wanted one last."""
    eps, falling = float(costs.max()) / _STEEPEST, []
    while eps > epsilon:
        falling.append(eps)
        eps /= _FALL
    return [*falling, epsilon]


def _kernel(costs: Tensor, f: Tensor, g: Tensor, epsilon: float) -> Tensor:
    exponent = f[:, :, None] + g[:, None, :]
    return exponent.sub_(costs).div_(epsilon).exp_()


def _times(kernel: Tensor, vector: Tensor) -> Tensor:
    # Far from everything a point may see nothing but zeros before the potentials have settled.
    out: Tensor = (kernel @ vector[:, :, None]).squeeze(2)
    return out.clamp_min_(1e-300)


def _too_large(scalings: Tensor) -> bool:
    low, high = scalings.aminmax()
    return float(high) > _LARGE or float(low) < 1 / _LARGE
