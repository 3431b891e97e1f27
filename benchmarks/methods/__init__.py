"""Methods that are compared and not shipped: no gain of theirs was measured (docs/decisions.md, 74).

To import this package makes them known by their names, as a searcher or a regulariser of one's own would be:
the regularisers `auxiliary-skip` (DARTS-) and `early-stopping` (OLES), and the searcher `darts-2nd`.
"""

from benchmarks.methods import auxiliary_skip, early_stopping, second_order

__all__ = ["auxiliary_skip", "early_stopping", "second_order"]
