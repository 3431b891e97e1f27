"""Search spaces, found by name: `get_space("nas_bench_201")`. One file or folder each."""

from snt_zoo.networks.spaces import darts, mobile, nas_bench_201
from snt_zoo.networks.spaces.base import (
    IN_CHANNELS,
    SearchSpace,
    SupernetTrunk,
    get_space,
    list_spaces,
    register_space,
)
from snt_zoo.networks.spaces.costs import Bound, Choice, Costs

__all__ = [
    "IN_CHANNELS",
    "Bound",
    "Choice",
    "Costs",
    "SearchSpace",
    "SupernetTrunk",
    "darts",
    "get_space",
    "list_spaces",
    "mobile",
    "nas_bench_201",
    "register_space",
]
