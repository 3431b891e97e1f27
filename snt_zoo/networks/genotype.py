"""Genotype: the discrete architecture that is derived from alphas.

One format for every space: for each kind of cell, the edges that are kept, each with its source node,
its target node and its operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from snt_zoo.errors import ConfigError


class Edge(NamedTuple):
    """One kept edge of a cell."""

    source: int
    target: int
    operation: str


@dataclass(frozen=True)
class Genotype:
    """The architecture of a derived network.

    Args:
        space: name of the search space.
        cells: for each kind of cell (`"cell"`; or `"normal"` and `"reduce"`) its edges.
    """

    space: str
    cells: Mapping[str, tuple[Edge, ...]]

    def __str__(self) -> str:
        parts = []
        for kind, edges in self.cells.items():
            inner = " ".join(f"{e.operation}({e.source}→{e.target})" for e in edges)
            parts.append(f"{kind}: {inner}")
        return f"{self.space} | " + " | ".join(parts)

    def share(self, *operations: str) -> float:
        """Share of the edges, from 0 to 1, whose operation is one of those named."""
        edges = [edge for cell in self.cells.values() for edge in cell]
        return sum(edge.operation in operations for edge in edges) / max(len(edges), 1)

    def to_json(self) -> dict[str, Any]:
        """Plain data: ``{"space": …, "cells": {kind: [[source, target, operation], …]}}``."""
        return {
            "space": self.space,
            "cells": {kind: [list(edge) for edge in edges] for kind, edges in self.cells.items()},
        }

    @classmethod
    def from_json(cls, data: Any) -> Genotype:
        """The inverse of `to_json`; raises `ConfigError` on anything else."""
        try:
            cells = {
                str(kind): tuple(Edge(int(s), int(t), str(op)) for s, t, op in edges)
                for kind, edges in data["cells"].items()
            }
            return cls(str(data["space"]), cells)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                'a genotype must be {"space": name, "cells": {kind: [[source, target, operation], '
                f"…]}}}}; this one is not ({error})"
            ) from error
