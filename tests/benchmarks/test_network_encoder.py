from __future__ import annotations

import pytest
import torch

from benchmarks.learned_space.network_encoder import BLOCKS, NetworkBatch, NetworkEncoder


def _batch(n: int = 6) -> NetworkBatch:
    g = torch.Generator().manual_seed(0)
    drawn = [torch.randn(n, size, generator=g) for size in (8, 3, 5)]
    return NetworkBatch(*drawn, torch.rand(n, 4, generator=g), torch.arange(n) % 3)


def test_a_network_without_an_id_has_a_vector_too() -> None:
    torch.manual_seed(0)
    encoder, batch, sources = NetworkEncoder((8, 3, 5), 3), _batch(), torch.randn(4, 48)
    known = encoder(batch, sources)
    nameless = encoder(NetworkBatch(**{**vars(batch), "ids": torch.full((6,), -1)}), sources)
    dropped = encoder(batch, sources, keep_id=torch.zeros(6, dtype=torch.bool))
    assert torch.allclose(known.norm(dim=1), torch.ones(6), atol=1e-5)
    assert torch.equal(nameless, dropped) and not torch.allclose(known, nameless, atol=1e-3)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_that_is_left_out_says_nothing(block: str) -> None:
    torch.manual_seed(0)
    encoder, batch, sources = NetworkEncoder((8, 3, 5), 3, without=(block,)), _batch(), torch.randn(4, 48)
    field = "ids" if block == "id" else block
    other = NetworkBatch(**{**vars(batch), field: getattr(batch, field).flip(0)})
    assert torch.allclose(encoder(batch, sources), encoder(other, sources), atol=1e-6)
