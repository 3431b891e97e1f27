"""Regularisers of a search, which watch for the ways in which it collapses or correct them. One file each.

Those of `Recipe.regularisers` are on; what they did and when stands in the report of the run.
"""

from snt_zoo.search.regularisers import skip_alarm
from snt_zoo.search.regularisers.base import (
    Regulariser,
    get_regulariser,
    list_regularisers,
    register_regulariser,
)

__all__ = ["Regulariser", "get_regulariser", "list_regularisers", "register_regulariser", "skip_alarm"]
