"""Searchers, found by name: `get_searcher("gdas")`. One file each.

A searcher trains weights and alphas together; all share the weight step of `snt_zoo.search.learners`.
"""

from snt_zoo.search.searchers import darts, drnas, gdas, pc_darts, sandwich
from snt_zoo.search.searchers.base import Searcher, get_searcher, list_searchers, register_searcher

__all__ = [
    "Searcher",
    "darts",
    "drnas",
    "gdas",
    "get_searcher",
    "list_searchers",
    "pc_darts",
    "register_searcher",
    "sandwich",
]
