"""Heads that lie in one layer are heads of their own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from snt_zoo.networks.heads import cross_entropy, own_logits

HEADS = (3, 2, 4)
STARTS = (0, 3, 5)


def case(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(12, 9, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, 9, (12,), generator=generator)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_is_that_of_separate_layers(smoothing: float, reduction: str) -> None:
    logits, labels = case()
    logits.requires_grad_(True)
    loss = cross_entropy(logits, labels, HEADS, label_smoothing=smoothing, reduction=reduction)
    (gradient,) = torch.autograd.grad(loss, logits)
    total = torch.zeros((), dtype=torch.float64)
    for row, label in zip(logits, labels.tolist(), strict=True):
        head = max(index for index, start in enumerate(STARTS) if label >= start)
        block = row[STARTS[head] : STARTS[head] + HEADS[head]]
        target = torch.tensor(label - STARTS[head])
        total = total + functional.cross_entropy(block, target, label_smoothing=smoothing)
    total = total / len(labels) if reduction == "mean" else total
    (expected,) = torch.autograd.grad(total, logits)
    assert torch.allclose(loss, total) and torch.allclose(gradient, expected)


def test_one_head_is_torchs_own() -> None:
    logits, labels = case()
    expected = functional.cross_entropy(logits, labels, label_smoothing=0.1)
    assert torch.equal(cross_entropy(logits, labels, label_smoothing=0.1), expected)
    assert own_logits(logits, labels, ()) is logits


def test_the_largest_logit_is_looked_for_in_the_labels_head() -> None:
    logits = torch.tensor([[9.0, 0, 1, 2, 3, 7, 6, 5, 4]]).repeat(3, 1)
    found = own_logits(logits, torch.tensor([1, 3, 8]), HEADS).argmax(1)
    assert found.tolist() == [0, 4, 5]
