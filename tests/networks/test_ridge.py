from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import Ridge

from snt_zoo.errors import DivergenceError
from snt_zoo.networks.ridge import ridge_head


@pytest.mark.parametrize(("n", "d"), [(40, 6), (12, 50)])
def test_it_is_ridge_regression_in_either_form(n: int, d: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = 3 + 2 * torch.randn(n, d, generator=generator)
    labels = torch.arange(n) % 3
    weight, bias = ridge_head(x, labels, 3, strength=0.2)
    z = ((x - x.mean(0)) / x.std(0, correction=0)).double().numpy()
    oracle = Ridge(alpha=0.2 * n).fit(z, torch.nn.functional.one_hot(labels, 3).double().numpy())
    expected = torch.from_numpy(oracle.predict(z)).float()
    assert torch.allclose(x @ weight.T + bias, expected, atol=1e-3)


def test_features_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(DivergenceError, match="overflow"):
        ridge_head(torch.full((4, 2), torch.inf), torch.tensor([0, 1, 0, 1]), 2)
