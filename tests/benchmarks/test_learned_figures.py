"""The figures of rankings, on tables small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.learned_figures import auc, by_parent, chosen, figures, interval, table
from benchmarks.learned_world import Truth, logit

NAN = float("nan")
TRUTH = Truth(
    rows=[0, 1],
    val=torch.tensor([[0.9, 0.8, 0.8, NAN], [0.5, 0.6, 0.7, 0.4]]).double(),
    test=torch.tensor([[0.7, 0.8, 0.6, NAN], [0.5, 0.6, 0.7, 0.4]]).double(),
    may=torch.tensor([[True, True, True, False], [True, True, True, True]]),
)


def test_validation_chooses_among_the_first_and_the_test_is_reported() -> None:
    score = torch.tensor([1.0, 3.0, 2.0, 9.0])
    assert chosen(TRUTH, 0, score, 1) == pytest.approx(0.8)  # the last is no candidate
    assert chosen(TRUTH, 0, score, 2) == pytest.approx(0.7)  # equal on validation: the mean
    assert chosen(TRUTH, 0, score, 3) == pytest.approx(0.7)  # the best on validation is worse on test


def test_regret_is_to_what_validation_would_have_chosen_of_all() -> None:
    right = figures(TRUTH, 1, torch.tensor([2.0, 3.0, 4.0, 1.0]))
    wrong = figures(TRUTH, 1, torch.tensor([2.0, 1.0, 0.0, 4.0]))
    found = {"regret@1": 0, "regret@3": 0, "tau": 1, "hit@1": 1, "hit@3": 1, "best three in the first 8": 1}
    assert right == pytest.approx(found)
    assert wrong["regret@1"] == pytest.approx(30) and wrong["regret@3"] == pytest.approx(10)
    assert wrong["hit@3"] == 0 and wrong["tau"] < 0
    assert figures(TRUTH, 0, torch.tensor([1.0, 3.0, 2.0, 9.0]))["regret@1"] == pytest.approx(-10)


def test_every_parent_counts_alike() -> None:
    found = by_parent(TRUTH, ["a", "a"], [torch.tensor([[1.0, 3, 2, 9], [2, 1, 0, 4]])])
    assert found["regret@1"].tolist() == [pytest.approx([10.0])]
    low, high = interval(np.array([1.0] * 20))
    assert low == high == 1.0


def test_the_area_under_the_curve_counts_pairs() -> None:
    assert auc(np.array([3.0, 2, 1, 0]), np.array([True, False, True, False])) == 0.75
    assert logit(1.0, 100) < 6 and logit(0.5, 100) == 0


def test_an_ablation_is_compared_with_the_same_seeds() -> None:
    good, bad = torch.tensor([[2.0, 3, 1, 0], [2, 3, 4, 1]]), torch.tensor([[2.0, 3, 1, 0], [4, 3, 2, 1]])
    rows = table(TRUTH, ["a", "b"], {"ours": [bad, good], "ours without": [bad]})
    assert rows["ours without"]["regret@1 less than ours"] == [0.0, 0.0]
    assert rows["ours"]["regret@1"] < rows["ours without"]["regret@1"]
