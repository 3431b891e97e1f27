"""Blocking work of a service: in some threads or processes, with a bounded number that wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import torch

from snt_zoo.errors import BusyError

_P = ParamSpec("_P")
_T = TypeVar("_T")


def threads(count: int) -> Executor:
    """Threads that work at once."""
    # Each computes alone: threads of one answer would wait for those of another.
    return ThreadPoolExecutor(
        count, thread_name_prefix="snt-zoo-serve", initializer=torch.set_num_threads, initargs=(1,)
    )


class Workers:
    """The threads of a service, or processes.

    Args:
        make: makes them, at first and when one of them was killed.
        most: calls that may be under way, or wait.
    """

    def __init__(self, make: Callable[[], Executor], most: int) -> None:
        self._make = make
        self._pool = make()
        self._most = most
        self._count = 0
        self._lock = threading.Lock()

    @property
    def busy(self) -> int:
        """Calls that are under way, or wait."""
        return self._count

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function in one of them.

        A caller that gives up does not end it: its place is free when it has ended by itself.

        Raises:
            BusyError: too many are waiting, or the process was killed.
        """
        with self._lock:
            if self._count >= self._most:
                raise BusyError(f"{self._count} requests are waiting for an answer: try again in a moment")
            self._count += 1
        pool = self._pool
        try:
            try:
                future = pool.submit(function, *args, **kwargs)
            except BaseException:
                self._leave()
                raise
            future.add_done_callback(lambda _: self._leave())
            return await asyncio.wrap_future(future)
        except BrokenExecutor as error:
            with self._lock:
                if self._pool is pool:
                    pool.shutdown(wait=False)
                    self._pool = self._make()
            raise BusyError("what was to answer was killed: try again in a moment") from error

    def close(self) -> None:
        """End when what is under way has ended."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _leave(self) -> None:
        with self._lock:
            self._count -= 1
