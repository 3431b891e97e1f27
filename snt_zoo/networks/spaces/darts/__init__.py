"""The DARTS space (Liu, Simonyan and Yang, ICLR 2019, arXiv 1806.09055, section 3.1).

A cell has two inputs (the outputs of the two cells before it), four nodes, and gives the concatenation of
the nodes. Every node receives an edge from both inputs and from every earlier node: 14 edges, eight
operations each. Cells at one third and two thirds of the depth are reduction cells with stride 2 and
alphas of their own. A derived cell keeps the two strongest edges into each node.
"""

from snt_zoo.networks.spaces.darts.layout import EDGES, KEPT, MAX_SKIPS, NODES, OPERATIONS, SKIP
from snt_zoo.networks.spaces.darts.space import Darts

__all__ = ["EDGES", "KEPT", "MAX_SKIPS", "NODES", "OPERATIONS", "SKIP", "Darts"]
