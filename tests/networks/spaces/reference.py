"""Slow and obvious implementations of the search spaces, to hold the fast ones to.

They compute edge by edge, each operation anew, straight from the papers' definitions, and take their
weights from the fast network by name.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from snt_zoo.networks.spaces import darts, mobile, nas_bench_201


def _norm(x: Tensor, norm: nn.BatchNorm2d, rows: slice = slice(None)) -> Tensor:
    """Batch norm written out: by the batch's moments in train mode, by the stored ones in eval mode."""
    if norm.training:
        mean = x.mean((0, 2, 3))
        var = x.var((0, 2, 3), correction=0)
    else:
        mean, var = norm.running_mean[rows], norm.running_var[rows]
    shape = (1, -1, 1, 1)
    out = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + norm.eps)
    if norm.affine:
        out = out * norm.weight.view(shape) + norm.bias.view(shape)
    return out


def _average_pool(x: Tensor, stride: int) -> Tensor:
    """Mean of the pixels under a 3×3 window that lie inside the image."""
    ones = torch.ones_like(x[:, :1])
    kernel = torch.ones(x.shape[1], 1, 3, 3, dtype=x.dtype)
    total = functional.conv2d(x, kernel, stride=stride, padding=1, groups=x.shape[1])
    count = functional.conv2d(ones, kernel[:1], stride=stride, padding=1)
    return total / count


def nas_bench_201_features(trunk: nn.Module, x: Tensor, mixture: Mapping[str, Tensor]) -> Tensor:
    """Features of a NAS-Bench-201 supernet, ``batch x 4C``, for ``6 x 5`` weights."""
    x = _norm(
        functional.conv2d(x, trunk.stem[0].weight, stride=trunk.stem[0].stride, padding=1), trunk.stem[1]
    )
    for index, cell in enumerate(trunk.cells):
        x = _nas_bench_201_cell(cell, x, mixture["cell"])
        if (index + 1) % trunk.cells_per_stage == 0 and index + 1 < len(trunk.cells):
            block = trunk.reductions[(index + 1) // trunk.cells_per_stage - 1]
            body = block.body
            y = _norm(functional.conv2d(functional.relu(x), body[1].weight, stride=2, padding=1), body[2])
            y = _norm(functional.conv2d(functional.relu(y), body[4].weight, padding=1), body[5])
            # The mean of each 2×2 block; at an odd edge, of the pixels that are there.
            pooled = functional.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
            x = y + functional.conv2d(pooled, block.shortcut[1].weight)
    return functional.relu(_norm(x, trunk.norm)).mean((2, 3))


def _nas_bench_201_cell(cell: nn.Module, x: Tensor, mixture: Tensor) -> Tensor:
    channels, partial = x.shape[1], cell.connection.partial
    width = channels // partial  # of the channels that go through the operations: the first ones
    states = [x]
    for target in range(1, 4):
        total = torch.zeros_like(x)
        for source in range(target):
            weights = mixture[nas_bench_201.EDGES.index((source, target))]
            state, rest = states[source][:, :width], states[source][:, width:]
            rows = slice((target - source - 1) * width, (target - source) * width)
            outputs = [torch.zeros_like(state), state]
            for group, padding in ((cell.conv_1x1, 0), (cell.conv_3x3, 1)):
                conv, norm = group[source].conv, group[source].norm
                out = functional.conv2d(functional.relu(state), conv.weight[rows], padding=padding)
                outputs.append(_norm(out, norm, rows))
            outputs.append(_average_pool(state, 1))
            mixed = sum(weight * output for weight, output in zip(weights, outputs, strict=True))
            passed = rest * (weights[1] + weights[2] + weights[3] + weights[4])  # all but `none`
            total = total + torch.cat([mixed, passed], dim=1)
        # Shuffled: channel j of group g comes to stand at place j * groups + g.
        order = [group * width + place for place in range(width) for group in range(partial)]
        states.append(total[:, order])
    return states[3]


def darts_features(trunk: nn.Module, x: Tensor, mixture: Mapping[str, Tensor]) -> Tensor:
    """Features of a DARTS supernet, ``batch x 16C``, for ``14 x 8`` weights of each kind of cell."""
    before = last = _norm(functional.conv2d(x, trunk.stem[0].weight, padding=1), trunk.stem[1])
    for kind, cell in zip(trunk.kinds, trunk.cells, strict=True):
        before, last = last, _darts_cell(cell, before, last, mixture[kind], kind == "reduce")
    return last.mean((2, 3))


def _darts_cell(cell: nn.Module, before: Tensor, last: Tensor, mixture: Tensor, reduce: bool) -> Tensor:
    if hasattr(cell.before, "odd"):
        states = [_factorised(cell.before, before)]
    else:
        states = [_relu_conv_norm(cell.before, before)]
    states.append(_relu_conv_norm(cell.last, last))
    for target in range(2, 6):
        total: Tensor | float = 0.0
        for source in range(target):
            weights = mixture[darts.EDGES.index((source, target))]
            stride = 2 if reduce and source < 2 else 1
            width = states[source].shape[1] // cell.partial
            part, rest = states[source][:, :width], states[source][:, width:]
            message: Tensor | float = 0.0
            for name, weight in zip(darts.OPERATIONS[1:], weights[1:], strict=True):  # `none` adds zero
                message = message + weight * _darts_operation(cell, source, target, name, part, stride)
            if cell.partial > 1:  # PC-DARTS: the other channels pass by, then all are shuffled
                if stride == 2:
                    rest = functional.max_pool2d(rest, 2, 2, ceil_mode=True)
                joined = torch.cat([message, rest * weights[1:].sum()], 1)
                n, c, h, w = joined.shape
                message = joined.view(n, cell.partial, width, h, w).transpose(1, 2).reshape(n, c, h, w)
            total = total + message
        states.append(total)
    return torch.cat(states[2:], dim=1)


def _darts_operation(cell: nn.Module, source: int, target: int, name: str, x: Tensor, stride: int) -> Tensor:
    width = x.shape[1]
    if name.endswith("pool_3x3"):
        pooled = functional.max_pool2d(x, 3, stride, 1) if name[:3] == "max" else _average_pool(x, stride)
        return _norm(pooled, cell.pool_norms[name], slice(source * width, (source + 1) * width))
    if name == "skip_connect":
        return x if stride == 1 else _factorised(cell.skips[f"{source}_{target}"], x)
    place = sorted(darts.EDGES).index((source, target))
    rows = slice(place * width, (place + 1) * width)
    kernel = int(name[-1])

    def block(x: Tensor, name: str, stride: int, dilation: int) -> Tensor:
        weight = cell.depthwise[name].weight[rows]
        padding = dilation * (kernel - 1) // 2
        x = functional.conv2d(functional.relu(x), weight, None, stride, padding, dilation, width)
        x = functional.conv2d(x, cell.pointwise[name].weight[rows])
        return _norm(x, cell.norms[name], rows)

    short = f"{name[:3]}_{kernel}x{kernel}"
    if name.startswith("dil"):
        return block(x, short, stride, 2)
    return block(block(x, f"{short}_first", stride, 1), f"{short}_second", 1, 1)


def _relu_conv_norm(module: nn.Module, x: Tensor) -> Tensor:
    return _norm(functional.conv2d(functional.relu(x), module[1].weight), module[2])


def _factorised(module: nn.Module, x: Tensor) -> Tensor:
    """Every second pixel, and every second pixel of the image shifted by one; zeros beyond its edge."""
    x = functional.relu(x)
    height, width = -(-x.shape[2] // 2), -(-x.shape[3] // 2)
    shifted = torch.zeros(*x.shape[:2], height, width, dtype=x.dtype)
    odd = x[:, :, 1::2, 1::2]
    shifted[:, :, : odd.shape[2], : odd.shape[3]] = odd
    even = torch.einsum("nchw,dc->ndhw", x[:, :, ::2, ::2], module.even.weight[:, :, 0, 0])
    out = torch.cat([even, torch.einsum("nchw,dc->ndhw", shifted, module.odd.weight[:, :, 0, 0])], 1)
    return _norm(out, module.norm)


def mobile_features(trunk: nn.Module, x: Tensor, mixture: Mapping[str, Tensor]) -> Tensor:
    """Features of a mobile supernet for ``blocks x 10`` weights."""
    x = functional.relu6(
        _norm(
            functional.conv2d(x, trunk.stem[0].weight, stride=trunk.stem[0].stride, padding=1), trunk.stem[1]
        )
    )
    first = trunk.first
    y = functional.conv2d(x, first[0].weight, padding=1, groups=x.shape[1])
    y = _norm(functional.conv2d(functional.relu6(_norm(y, first[1])), first[3].weight), first[4])
    x = x + y if x.shape == y.shape else y
    for block, row in zip(trunk.blocks, mixture["chain"], strict=True):
        weights = dict(zip(mobile.OPERATIONS, row, strict=True))
        same_shape = block.depthwise.stride == (1, 1) and x.shape[1] == block.project.out_channels
        if not same_shape:  # there is no way around such a block: a mixture of the others
            del weights["skip_connect"]
            whole = sum(weights.values())
            weights = {name: weight / whole for name, weight in weights.items()}
        total: Tensor | float = 0.0
        for name, weight in weights.items():
            out = x if name == "skip_connect" else _mobile_operation(block, x, name)
            if same_shape and name != "skip_connect":
                out = out + x
            total = total + weight * out
        x = total
    x = functional.relu6(_norm(functional.conv2d(x, trunk.last[0].weight), trunk.last[1]))
    return x.mean((2, 3))


def _mobile_operation(block: nn.Module, x: Tensor, name: str) -> Tensor:
    """An inverted residual block without its residual connection, all of it computed for itself."""
    expansion, kernel = int(name[4]), int(name[7])
    wide = expansion * x.shape[1]
    x = functional.conv2d(x, block.expand.weight[:wide])
    x = functional.relu6(_switched(x, block.expand_norm, 0))
    centre = block.depthwise.weight.clone()
    border = (7 - kernel) // 2
    centre = centre[:, :, border : 7 - border, border : 7 - border]
    x = functional.conv2d(
        x, centre[:wide], stride=block.depthwise.stride, padding=(kernel - 1) // 2, groups=wide
    )
    x = functional.relu6(_switched(x, block.depthwise_norm, (3, 5, 7).index(kernel)))
    x = functional.conv2d(x, block.project.weight[:, :wide])
    return _switched(x, block.project_norm, mobile.OPERATIONS.index(name))


def _switched(x: Tensor, norm: nn.Module, choice: int) -> Tensor:
    """Batch norm by the statistics of a choice, with the scale and shift that all choices share."""
    if norm.training:
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    else:
        mean = norm.running_mean.view(-1, norm.weight.numel())[choice, : x.shape[1]]
        var = norm.running_var.view(-1, norm.weight.numel())[choice, : x.shape[1]]
    shape = (1, -1, 1, 1)
    scale = norm.weight[: x.shape[1]] / torch.sqrt(var + norm.eps)
    return (x - mean.view(shape)) * scale.view(shape) + norm.bias[: x.shape[1]].view(shape)
