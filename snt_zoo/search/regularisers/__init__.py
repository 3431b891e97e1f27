"""Guards against the ways in which a search collapses, found by name. One file each.

A guard is switched in `Recipe.guards`; what it did and when stands in the report of the run.
"""

from snt_zoo.search.regularisers import auxiliary_skip, early_stopping, skip_alarm
from snt_zoo.search.regularisers.base import Guard, get_guard, list_guards, register_guard
from snt_zoo.search.regularisers.entropy_floor import ENTROPY_FLOOR, soften

__all__ = [
    "ENTROPY_FLOOR",
    "Guard",
    "auxiliary_skip",
    "early_stopping",
    "get_guard",
    "list_guards",
    "register_guard",
    "skip_alarm",
    "soften",
]
