"""Kernels that make networks trainable on a CPU, in C++, compiled once on the user's machine.

In a cell of DARTS (`cells.cpp`) a separable convolution is memory-bound: the library runs ReLU, depthwise and
pointwise convolution, batch norm and the weighted sum as passes of their own over tensors that do not fit the
caches, and its depthwise gradients have slow paths (kernels above 3×3, dilation, stride). Here

- `blocks_forward` does ReLU, depthwise and pointwise convolution of one image while it is in the cache, for
  all blocks that read it, and sums what batch norm needs;
- `project_forward` and `project_backward` do the same for ReLU and a 1×1 convolution;
- batch norm and the weighted sum of all operations into a node are one pass, `combine`;
- `blocks_backward` computes the output's gradient (through batch norm) on the fly, does the two gradients of
  weights and that of the input while the image is in the cache, and recomputes what the forward pass did
  not keep. The input's gradient is added up over the blocks that read it before it leaves the cache.

In an inverted residual block (`depthwise.cpp`) the depthwise convolution lies between two ReLU6, and the
library's gradients of it take half of a step. `depthwise_forward` and `depthwise_backward` do it with both
in one pass over memory.

Without a compiler (which is no fault, and not told), on other devices and for other floating-point types the
spaces compute the same with PyTorch's operations. `SNT_ZOO_KERNELS=0` switches the kernels off.
"""

from snt_zoo.networks.kernels.build import available, without
from snt_zoo.networks.kernels.calls import (
    Convolution,
    Geometry,
    Gradient,
    blocks_backward,
    blocks_forward,
    combine,
    combine_backward,
    pool_backward,
    pool_forward,
    project_backward,
    project_forward,
    usable,
)
from snt_zoo.networks.kernels.depthwise import Window, depthwise_backward, depthwise_forward
from snt_zoo.networks.kernels.workspace import Workspace

__all__ = [
    "Convolution",
    "Geometry",
    "Gradient",
    "Window",
    "Workspace",
    "available",
    "blocks_backward",
    "blocks_forward",
    "combine",
    "combine_backward",
    "depthwise_backward",
    "depthwise_forward",
    "pool_backward",
    "pool_forward",
    "project_backward",
    "project_forward",
    "usable",
    "without",
]
