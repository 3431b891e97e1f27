"""Processes that answer queries by sketch, beside the one that speaks HTTP.

A query computes in Python for most of its time, so threads of one process take turns. Each process here opens
the registry by itself: it sees what is added by the catalog's revision, as every process does. Tokens, rates,
figures and all changes stay with the process that speaks HTTP, so they are right whatever answers a query.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from snt_zoo.registry.registry import Registry
from snt_zoo.service.answering import ask, prepare, rendered
from snt_zoo.zoo import Zoo

_OPEN = ExitStack()
_ZOO: list[Zoo] = []  # of this process, once it answers queries


def make_askers(home: Path, processes: int) -> ProcessPoolExecutor:
    """Processes that run `answered`; each begins when there is a call for it.

    Args:
        home: folder of the registry.
        processes: how many.
    """
    return ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),  # a fork would copy locks that a thread holds
        initializer=_begin,
        initargs=(home,),
    )


def begun() -> int:
    """Nothing but the number of the process: once it is answered, one is there."""
    return os.getpid()


def answered(raw: bytes, where: Any, options: dict[str, Any]) -> bytes:
    """The answer to a sketch, as JSON; `where` and `options` as of `ask`."""
    return rendered(ask(_ZOO[0], raw, where, **options))


def _begin(home: Path) -> None:
    # The process that made this one says when to end; a terminal and systemd signal the whole group.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    zoo = Zoo(Registry.open(home))
    prepare(zoo)
    _OPEN.enter_context(zoo.registry.held())
    _ZOO.append(zoo)


def _end_with_parent() -> None:
    """One that was killed says nothing, and its queue would be waited at for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(0)
