"""The space `mobile`: a chain of inverted residual blocks that share their weights elastically."""

from snt_zoo.networks.spaces.mobile.plan import (
    EXPANSIONS,
    KERNELS,
    OPERATIONS,
    SKIP,
    BlockPlan,
    Plan,
    operation_index,
)
from snt_zoo.networks.spaces.mobile.space import CHAIN, Mobile

__all__ = [
    "CHAIN",
    "EXPANSIONS",
    "KERNELS",
    "OPERATIONS",
    "SKIP",
    "BlockPlan",
    "Mobile",
    "Plan",
    "operation_index",
]
