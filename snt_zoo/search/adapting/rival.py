"""A rival: another network for the data, which a run is compared with and perhaps joined to."""

from __future__ import annotations

from typing import Protocol

from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.run import Run


class Rival(Protocol):
    """Another network for the data, from outside of the search.

    It may answer in place of the derived network or together with it: `snt_zoo.search.adapting.floor`.
    """

    def begin(self) -> float:
        """Its validation accuracy, from 0 to 1; asked first."""

    def look(self, network: Supernet | DerivedModel, accuracy: float) -> None:
        """See the derived network as it is best so far, and its validation accuracy."""

    def together(self) -> float | None:
        """The validation accuracy of both together, if that is what would be handed back now."""

    def matters(self, reached: float) -> bool:
        """Whether it is worth more work, asked halfway through the derived network's training.

        Args:
            reached: the derived network's best validation accuracy.
        """

    def grow(self) -> float:
        """Do that work; returns its validation accuracy then."""


class Company:
    """Keeps a rival informed while the derived network is trained, and the history of what it says.

    Args:
        rival: of the run.
        run: that was perhaps interrupted in this stage, whose rival then has to do again what it had done.
    """

    def __init__(self, rival: Rival, run: Run) -> None:
        self.rival, self.run = rival, run
        self._told = run.goes_on_in("derived")
        if self._told and run.facts.get("grown"):
            rival.grow()

    def better(self, network: Supernet | DerivedModel, accuracy: float) -> None:
        """The derived network is better."""
        self.rival.look(network, accuracy)
        if not self._told:
            self._ask()
        self._told = False

    def halfway(self, reached: float) -> None:
        """Half of its training is over."""
        if self.rival.matters(reached):
            self.run.facts["grown"] = True
            self.run.record("probe", self.rival.grow())
            self._ask()

    def _ask(self) -> None:
        accuracy = self.rival.together()
        if accuracy is not None:
            self.run.record("ensemble", accuracy)
