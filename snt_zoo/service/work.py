"""Blocking work of a service: in a bounded number of threads, with a bounded number that wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import torch

from snt_zoo.errors import BusyError

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Workers:
    """The threads of a service.

    Args:
        threads: that work at once.
        waiting: calls that may wait for one.
    """

    def __init__(self, threads: int, waiting: int) -> None:
        # Each computes alone: threads of one answer would wait for those of another.
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix="snt-zoo-serve", initializer=torch.set_num_threads, initargs=(1,)
        )
        self._most = threads + waiting
        self._count = 0
        self._lock = threading.Lock()

    @property
    def busy(self) -> int:
        """Calls that are under way, or wait."""
        return self._count

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function in a thread.

        A caller that gives up does not end it: its place is free when it has ended by itself.

        Raises:
            BusyError: too many are waiting.
        """
        with self._lock:
            if self._count >= self._most:
                raise BusyError(f"{self._count} requests are waiting for an answer: try again in a moment")
            self._count += 1
        try:
            future = self._pool.submit(function, *args, **kwargs)
        except BaseException:
            self._leave()
            raise
        future.add_done_callback(lambda _: self._leave())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End when what is under way has ended."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _leave(self) -> None:
        with self._lock:
            self._count -= 1
