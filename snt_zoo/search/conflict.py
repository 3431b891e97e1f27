"""One step from the gradients of several datasets, which may want opposite things."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snt_zoo.errors import UnknownComponentError

Gradients = Sequence[Tensor | None]
"""One for each parameter; None for those that took no part."""

RULES = ("mean", "clip", "pcgrad")


def check_conflict(rule: str) -> None:
    """Raise `UnknownComponentError` for a rule that there is not."""
    if rule not in RULES:
        raise UnknownComponentError(
            f"no rule {rule!r} for conflicting gradients: choose one of {', '.join(RULES)}"
        )


def combined(
    gradients: Sequence[Gradients], rule: str, *, clip: float, generator: torch.Generator
) -> list[Tensor | None]:
    """The gradient of a step.

    Args:
        gradients: of each dataset, on the same parameters.
        rule: `mean`; `clip`: the mean after each dataset's gradient was clipped to the norm `clip`, so that
            none outweighs the others; `pcgrad`: clipped, and then from each the part is taken away that
            points against another one (Yu et al., NeurIPS 2020, arXiv 2001.06782, algorithm 1; the mean
            and not the sum of what is left, so that rates do not depend on the number of datasets).
        clip: largest norm of one dataset's gradient.
        generator: on the CPU; draws the order in which `pcgrad` goes through the others.

    Returns:
        One for each parameter; None where no dataset had any.
    """
    if len(gradients) == 1:
        return list(gradients[0])
    present = [index for index, group in enumerate(zip(*gradients, strict=True)) if _any(group)]
    shapes = [next(g for g in (task[i] for task in gradients) if g is not None) for i in present]
    flat = torch.stack(
        [
            torch.cat(
                [
                    torch.zeros_like(shape).flatten() if (found := task[index]) is None else found.flatten()
                    for index, shape in zip(present, shapes, strict=True)
                ]
            )
            for task in gradients
        ]
    )
    if rule != "mean":
        flat = flat * (clip / (flat.norm(dim=1, keepdim=True) + 1e-6)).clamp_max(1.0)
    if rule == "pcgrad":
        flat = _projected(flat, generator)
    mean = flat.mean(0)
    out: list[Tensor | None] = [None] * len(gradients[0])
    start = 0
    for index, shape in zip(present, shapes, strict=True):
        out[index] = mean[start : start + shape.numel()].view(shape.shape)
        start += shape.numel()
    return out


def _any(group: Sequence[Tensor | None]) -> bool:
    return any(gradient is not None for gradient in group)


def _projected(flat: Tensor, generator: torch.Generator) -> Tensor:
    """Each row of ``tasks x n`` without what points against another row, one after the other."""
    squares = flat.square().sum(1).clamp_min(torch.finfo(flat.dtype).tiny)
    out = flat.clone()
    for i in range(len(flat)):
        order = torch.randperm(len(flat), generator=generator).tolist()
        for j in order:
            if j != i:
                against = (out[i] @ flat[j]).clamp_max(0.0)  # no branch: a GPU would have to be waited for
                out[i] -= against / squares[j] * flat[j]
    return out
