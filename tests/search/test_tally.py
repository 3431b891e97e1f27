"""The losses of an epoch are summed, and divergence is noticed late but surely."""

from __future__ import annotations

import math

import pytest
import torch

from snt_zoo.errors import DivergenceError
from snt_zoo.search.tally import HOPELESS, Tally

CPU = torch.device("cpu")


def test_a_tally_gives_the_mean() -> None:
    tally = Tally(10, device=CPU)
    for loss in (1.0, 2.0, 6.0):
        tally.add(torch.tensor(loss))
    assert tally.steps == 3 and tally.mean() == 3.0
    again = Tally(10, device=CPU)
    again.load_state(tally.state())
    again.add(torch.tensor(3.0))
    assert again.mean() == 3.0 and again.steps == 4
    again.clear()
    assert again.steps == 0 and again.mean() == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("bad", [1, 4, 9])
def test_a_tally_knows_the_first_bad_step(value: float, bad: int) -> None:
    tally = Tally(10, device=CPU)
    for step in range(1, 10):
        tally.add(torch.tensor(value if step == bad else 1.0))
    with pytest.raises(DivergenceError, match=f"became .* in step {bad}$"):
        tally.mean()


def test_a_loss_far_above_guessing_is_a_divergence() -> None:
    tally = Tally(10, device=CPU)
    tally.add(torch.tensor(0.9 * HOPELESS * math.log(10)))
    tally.mean()
    tally.clear()
    tally.add(torch.tensor(1.1 * HOPELESS * math.log(10)))
    with pytest.raises(DivergenceError, match=r"guessing has 2\.3"):
        tally.mean()
