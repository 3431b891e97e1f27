"""Runs a checkout of github quark0/darts (the published search network) beside ours, on the same weights."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snt_zoo.networks.spaces.darts.layout import BLOCKS, EDGES, OPERATIONS, POOLS
from snt_zoo.networks.spaces.darts.mixed_cell import MixedCell
from snt_zoo.networks.spaces.darts.operations import FactorisedReduction
from snt_zoo.networks.supernet import Supernet


def build_peer(checkout: Path, like: Supernet) -> nn.Module:
    """The published network with the weights, statistics and alphas of ours.

    Args:
        checkout: folder of the repository.
        like: our supernet, of the space `darts`.
    """
    space: Any = like.space
    with _imported(checkout / "cnn") as module, _without_cuda():
        peer: Any = module.Network(
            space.channels,
            like.config.num_classes,
            space.cells,
            nn.CrossEntropyLoss(),
            stem_multiplier=space.stem_multiplier,
        )
    trunk: Any = like.trunk
    with torch.no_grad():
        peer.stem.load_state_dict(trunk.stem.state_dict())
        peer.classifier.load_state_dict(like.head.state_dict())
        for theirs, ours in zip(peer.cells, trunk.cells, strict=True):
            _copy_cell(theirs, ours)
        for name in ("normal", "reduce"):
            getattr(peer, f"alphas_{name}").copy_(like.alphas[name])
    return peer  # type: ignore[no-any-return]


def _copy_cell(theirs: Any, ours: MixedCell) -> None:
    for their_input, our_input in ((theirs.preprocess0, ours.before), (theirs.preprocess1, ours.last)):
        if isinstance(our_input, FactorisedReduction):
            _copy_reduction(their_input, our_input)
        else:
            _copy_tensors(list(their_input.op), list(our_input.children()))
    for row, mixed in enumerate(theirs._ops):
        source = EDGES[row][0]
        rows = ours.rows(row)
        for operation, name in enumerate(OPERATIONS):
            module = mixed._ops[operation]
            if name in POOLS:
                place = slice(source * ours.width, (source + 1) * ours.width)
                _copy_statistics(module[1], ours.pool_norms[name], place)
            elif name == "skip_connect":
                strided = ours.skip(row)
                if strided is not None:
                    _copy_reduction(module, strided)
            elif name != "none":
                blocks = [block for block in BLOCKS if block.operation == operation]
                for index, block in enumerate(blocks):
                    depthwise, pointwise = ours.weights(block, row)
                    module.op[4 * index + 1].weight.copy_(depthwise)
                    module.op[4 * index + 2].weight.copy_(pointwise)
                    _copy_statistics(module.op[4 * index + 3], ours.norms[block.name], rows)


def _copy_reduction(theirs: Any, ours: FactorisedReduction) -> None:
    theirs.conv_1.weight.copy_(ours.even.weight)
    theirs.conv_2.weight.copy_(ours.odd.weight)
    theirs.bn.load_state_dict(ours.norm.state_dict())


def _copy_tensors(theirs: list[nn.Module], ours: list[nn.Module]) -> None:
    for target, source in zip(theirs, ours, strict=True):
        target.load_state_dict(source.state_dict())


def _copy_statistics(target: Any, source: Any, rows: slice) -> None:
    target.running_mean.copy_(source.running_mean[rows])
    target.running_var.copy_(source.running_var[rows])


@contextmanager
def _imported(folder: Path) -> Iterator[Any]:
    """The module `model_search` of the checkout; its neighbours have plain names (`operations`, …)."""
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("model_search")
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _without_cuda() -> Iterator[None]:
    """The published code moves its alphas to a GPU as it makes them."""
    before = torch.Tensor.cuda

    def stay(tensor: Tensor, *_: Any, **__: Any) -> Tensor:
        return tensor

    torch.Tensor.cuda = stay  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        torch.Tensor.cuda = before  # type: ignore[method-assign]
