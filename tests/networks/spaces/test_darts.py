"""What only the space `darts` has: its rule of deriving, and its fused cells."""

from __future__ import annotations

import pytest
import torch

from snt_zoo.networks import kernels
from snt_zoo.networks.spaces import darts, get_space
from tests.conftest import TINY, MakeSupernet


def test_darts_keeps_two_edges_into_each_node_and_never_none() -> None:
    space = get_space("darts")
    generator = torch.Generator().manual_seed(0)
    mixture = {kind: torch.rand(14, 8, generator=generator) for kind in ("normal", "reduce")}
    mixture["normal"][:, 0] = 9.0  # `none` is the strongest everywhere
    for edges in space.discretise(mixture).cells.values():
        assert [edge.target for edge in edges] == [2, 2, 3, 3, 4, 4, 5, 5]
        assert all(edge.operation != "none" for edge in edges)
    rows = mixture["reduce"][:, 1:].max(1).values
    strongest = {
        s for (s, t), _ in sorted(zip(darts.EDGES, rows, strict=True), key=lambda p: -p[1]) if t == 5
    }
    kept = {e.source for e in space.discretise(mixture).cells["reduce"] if e.target == 5}
    assert kept <= strongest and len(kept) == 2
    into_5 = sorted(
        ((float(r), s) for (s, t), r in zip(darts.EDGES, rows, strict=True) if t == 5), reverse=True
    )
    assert kept == {s for _, s in into_5[:2]}


def test_darts_skips_at_most_half_of_a_cells_edges() -> None:
    space = get_space("darts")
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        mixture = {kind: torch.rand(14, 8, generator=generator) for kind in ("normal", "reduce")}
        mixture["normal"][:, darts.SKIP] += 1.0
        guarded = space.discretise(mixture)
        kept = guarded.cells["normal"]
        assert sum(edge.operation == "skip_connect" for edge in kept) == darts.MAX_SKIPS
        # Those that lose least are replaced: the gap of a kept skip is at least that of any replaced one.
        gaps = {}
        for edge in kept:
            row = mixture["normal"][darts.EDGES.index(edge[:2])].clone()
            skip = float(row[darts.SKIP])
            row[[0, darts.SKIP]] = -1.0
            gaps[edge] = skip - float(row.max())
        replaced = [gap for edge, gap in gaps.items() if edge.operation != "skip_connect"]
        left = [gap for edge, gap in gaps.items() if edge.operation == "skip_connect"]
        assert max(replaced) <= min(left)


def test_both_routes_of_darts_move_the_running_statistics_alike(
    make_supernet: MakeSupernet, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernels.available():
        pytest.skip("no C++ compiler: the kernels are not used")
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    compiled, plain = (make_supernet(TINY["darts"]).double().train() for _ in range(2))
    calls = (lambda net: net(images, net.mixture()), lambda net: net(images))
    for call in calls:
        call(compiled)
    with monkeypatch.context() as patched:
        patched.setattr(kernels, "usable", lambda *_, **__: False)
        for call in calls:
            call(plain)
    for (name, found), expected in zip(compiled.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(found, expected, msg=lambda text, name=name: f"{name}: {text}")


def test_a_fused_cell_is_differentiated_once(make_supernet: MakeSupernet) -> None:
    if not kernels.available():
        pytest.skip("no C++ compiler: the kernels are not used")
    net = make_supernet(TINY["darts"]).double().train()
    images = torch.zeros(2, 3, 16, 16, dtype=torch.float64)
    loss = net(images, net.mixture()).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="run it forward again"):
        loss.backward()
