"""NAS-Bench-201 (Dong and Yang, ICLR 2020, arXiv 2001.00326): four nodes, six edges, five operations.

Macro skeleton (their section 2.1): a stem convolution; three stages of `cells_per_stage` equal cells
with C, 2C and 4C channels; a residual block of stride 2 between stages; batch norm, ReLU and a global
average. Every cell of a network has the same architecture.

With `partial_channels` K above 1 the connections are partial (PC-DARTS, Xu et al., ICLR 2020, arXiv
1907.05737, section 3.1): on every edge the first 1/K of the channels go through the operations, the others
bypass them, and the channels that a node has received are shuffled. What bypasses is weighed by the sum of
the weights of all operations but `none`, and a derived network keeps the partial connections: both are
ours, so that `none` is no edge, and a derived network equals the supernet on its path.

The supernet does the work that edges share once. All edges that leave one node apply the same ReLU, the
same average pooling and convolutions of the same shape to the same tensor, so a node's outgoing 3×3
convolutions are one convolution with as many times the output channels (and so are the 1×1). The result
equals the edge-by-edge computation; `tests/networks/test_spaces.py` holds it to one.
"""

from snt_zoo.networks.spaces.nas_bench_201.layout import EDGES, MIN_COMPUTING, NODES, OPERATIONS, SKIP
from snt_zoo.networks.spaces.nas_bench_201.network import STAGES
from snt_zoo.networks.spaces.nas_bench_201.space import NasBench201

__all__ = ["EDGES", "MIN_COMPUTING", "NODES", "OPERATIONS", "SKIP", "STAGES", "NasBench201"]
