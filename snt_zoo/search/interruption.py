"""Ctrl-C and SIGTERM: the running step ends, a checkpoint is written, then the run stops.

A second Ctrl-C stops it at once; the checkpoint before stays, as checkpoints are replaced in one step.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A run was asked to stop.

    Args:
        signal: number of the signal that asked.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(f"stopped by signal {signal}")
        self.signal = int(signal)


class StopSignals:
    """Notes that a signal came, while it is entered; outside the main thread it does nothing.

    Args:
        active: whether it does anything.
        patient: ignore all signals after the first. For processes under `torchrun`, which passes on a
            Ctrl-C that they had from the terminal already, and kills them when they take too long.
    """

    def __init__(self, *, active: bool = True, patient: bool = False) -> None:
        self.active = active
        self.patient = patient
        self.received = 0
        """Number of the signal that came, or 0."""
        self._immediate = False
        self._process = os.getpid()
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> StopSignals:
        if self.active and threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # A signal that the parent wants ignored (nohup, a background job) stays ignored.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *details: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, a signal raises `Stopped` where the process stands: nothing is lost by it there."""
        self._immediate = True
        try:
            if self.received:
                raise Stopped(self.received)
            yield
        finally:
            self._immediate = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a process that was forked: it ends with this one
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        again = bool(self.received)
        self.received = self.received or number
        if (again and not self.patient) or (self._immediate and not again):
            raise Stopped(number)


@contextlib.contextmanager
def terminating() -> Iterator[None]:
    """Inside, SIGTERM raises `Stopped`, as Ctrl-C raises `KeyboardInterrupt`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
