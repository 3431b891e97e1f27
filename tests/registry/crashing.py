"""Processes that end as `kill -9` ends them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

CRASHED = 77


def crash(*_: Any, **__: Any) -> None:
    """As kill -9 does: no handler, no finally."""
    os._exit(CRASHED)


def in_child(work: Callable[[], object]) -> int:
    """Exit status of a forked process that does some work."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def after(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)
        crash()

    return call
