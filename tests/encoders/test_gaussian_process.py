from __future__ import annotations

import pytest
import torch
from torch import Tensor

from snt_zoo.encoders.gaussian_process import PARTS, GaussianProcess, Geometry, Kernel, Pairs, fit


@pytest.fixture
def geometry() -> Geometry:
    g = torch.Generator().manual_seed(0)
    tasks, networks = (torch.randn(n, 3, generator=g).double() for n in (12, 5))
    return Geometry(
        torch.randn(12, 2, generator=g).double(),
        torch.cdist(tasks, tasks),
        torch.cdist(networks, networks),
        torch.randn(12, 5, generator=g).double(),
    )


def _seen(geometry: Geometry) -> tuple[Pairs, Tensor, Tensor]:
    task, network = torch.cartesian_prod(torch.arange(12), torch.arange(5)).T
    pairs = Pairs(task, network)
    covariance = Kernel().matrix(geometry, pairs, pairs) + 1e-9 * torch.eye(60)
    y = (
        torch.linalg.cholesky(covariance)
        @ torch.randn(60, generator=torch.Generator().manual_seed(1)).double()
    )
    return pairs, y, torch.full((60,), 0.01).double()


def test_a_kernel_is_symmetric_and_positive_whatever_is_left_out(geometry: Geometry) -> None:
    pairs, _, _ = _seen(geometry)
    for without in ((), *[(part,) for part in PARTS]):
        matrix = Kernel(without=without).matrix(geometry, pairs, pairs)
        assert torch.allclose(matrix, matrix.T)
        assert float(torch.linalg.eigvalsh(matrix).min()) > -1e-8


def test_what_is_left_out_is_predicted_as_if_it_had_not_been_seen(geometry: Geometry) -> None:
    pairs, y, noise = _seen(geometry)
    parts = [(pairs.task == task).nonzero().flatten() for task in range(12)]
    whole = GaussianProcess(Kernel(), geometry, pairs, y, noise)
    for rows, found in zip(parts, whole.left_out(parts), strict=True):
        rest = torch.ones(60, dtype=torch.bool)
        rest[rows] = False
        kept = rest.nonzero().flatten()
        part = GaussianProcess(Kernel(), geometry, pairs.subset(kept), y[kept], noise[kept])
        mean, variance = part.predict(pairs.subset(rows))
        assert torch.allclose(found, mean, atol=1e-8) and bool((variance > 0).all())


def test_fitting_raises_the_evidence_and_leaves_parts_out(geometry: Geometry) -> None:
    pairs, y, noise = _seen(geometry)
    before, after = (fit(geometry, pairs, y, noise, steps=steps) for steps in (0, 30))
    assert float(after.evidence()) > float(before.evidence())
    mean, _ = after.predict(pairs)
    assert float((mean - y).abs().mean()) < float((y - y.mean()).abs().mean())
    assert fit(geometry, pairs, y, noise, steps=1, without=("fit",)).kernel.without == ("fit",)
