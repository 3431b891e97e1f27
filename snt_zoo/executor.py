"""Many tasks that do not wait for each other: on processes of this machine, or on a Ray cluster.

A task is known to be done by what it makes, a bundle or a row: whoever calls leaves out what is there, so a
driver that was killed goes on where it stopped. One that fails is told of, and the others go on.

Both executors start few tasks ahead of those that run (a million cells of outcomes are not queued at once),
and both hand back results in the order in which tasks end. Ray itself has more, as Tune and Datasets: these
keep a state of their own beside the artefacts, which is one more thing to lose.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from snt_zoo.errors import ExecutorError

if TYPE_CHECKING:
    from concurrent.futures import Future

Task = TypeVar("Task")
Result = TypeVar("Result")

LOCAL, RAY = "local", "ray"

AHEAD = 2
"""Tasks that Ray is given for each that can run: the next begins at once when one ends."""


@dataclass(frozen=True)
class Need:
    """What a task takes of a Ray cluster: processor cores and GPUs, which may be shares."""

    cpus: float = 1.0
    gpus: float = 0.0


@dataclass(frozen=True)
class Ended(Generic[Task, Result]):
    """A task that ended.

    Args:
        task: it.
        result: of the function; None if it failed.
        error: why it failed.
        left: seconds that the tasks behind it will take, by the pace so far.
    """

    task: Task
    result: Result | None
    error: Exception | None
    left: float


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    on: str = LOCAL,
    workers: int = 1,
    need: Need = Need(),
) -> Iterator[Ended[Task, Result]]:
    """Call a function with each task, several at a time.

    Args:
        function: of a module, so that another process can import it; `functools.partial` of one as well.
        tasks: what it is called with, in the order in which they begin.
        on: `local`; `ray` for a cluster of this machine, which is started and ended; or a cluster's address,
            `ray://HOST:PORT`.
        workers: processes side by side on this machine. A cluster counts its own.
        need: of each task, on a cluster.

    Yields:
        Each task as it ends. Leaving the loop ends what runs.

    Raises:
        ExecutorError: Ray is not installed, or the cluster cannot be reached.

    Example:
        >>> [ended.result for ended in run_tasks(abs, [-1, 2])]
        [1, 2]
    """
    if on == LOCAL:
        ending = _local(function, tasks, workers)
    elif on == RAY or on.startswith(f"{RAY}://"):
        ending = _ray(function, tasks, on, workers, need)
    else:
        raise ExecutorError(f"no executor {on!r}: choose {LOCAL}, {RAY} or {RAY}://HOST:PORT")
    start = time.monotonic()
    with contextlib.closing(ending):
        for done, (task, result, error) in enumerate(ending, 1):
            left = (time.monotonic() - start) / done * (len(tasks) - done)
            yield Ended(task, result, error, left)


def _local(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Any:
    """By processes; a task whose process is killed is tried once more, alone."""
    again: list[Task] = []
    rest = iter(tasks)
    while True:
        try:
            yield from _pool(function, rest, workers, again)
        except BrokenProcessPool:
            continue  # those that ran are in `again`, the others in `rest`
        break
    for task in again:
        yield _alone(function, task)


def _alone(function: Callable[[Task], Result], task: Task) -> Any:
    try:
        return next(_pool(function, iter([task]), 1, []))
    except BrokenProcessPool:
        return (
            task,
            None,
            ExecutorError("its process was killed twice: it may need more memory than there is"),
        )


def _pool(function: Callable[[Task], Result], tasks: Iterator[Task], workers: int, broken: list[Task]) -> Any:
    """Tasks in a pool of processes until none is left; those that a broken pool had begun go to `broken`."""
    # Not by fork: a process that has run OpenMP's threads cannot be forked safely.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context)
    running: dict[Future[Result], Task] = {}
    try:
        while True:
            while len(running) < workers and (task := next(tasks, None)) is not None:
                running[pool.submit(function, task)] = task
            if not running:
                break
            ended = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED).done
            for future in ended:
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    raise error
                task = running.pop(future)
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield (task, None, error) if error is not None else (task, future.result(), None)
    except BrokenProcessPool:
        broken += running.values()
        raise
    finally:
        for process in list((pool._processes or {}).values()):
            if running:
                process.terminate()
        pool.shutdown(cancel_futures=True)


def _ray(function: Callable[[Task], Result], tasks: Sequence[Task], on: str, workers: int, need: Need) -> Any:
    """By a Ray cluster; a task is tried again by Ray where its machine is lost, not where it raises."""
    ray = connect(on, math.ceil(workers * need.cpus))
    here = Path.cwd()
    try:

        def call(task: Task) -> Result:  # Ray takes no `partial`
            os.chdir(here)  # so that paths mean what they mean here
            return function(task)

        remote = ray.remote(num_cpus=need.cpus, num_gpus=need.gpus, max_retries=2)(call)
        room = max(1, int(AHEAD * _at_once(ray, need)))
        rest = iter(tasks)
        running: dict[Any, Task] = {}
        while True:
            while len(running) < room and (task := next(rest, None)) is not None:
                running[remote.remote(task)] = task
            if not running:
                break
            ended, _ = ray.wait(list(running), num_returns=1)
            for reference in ended:
                task = running.pop(reference)
                try:
                    yield task, ray.get(reference), None
                except ray.exceptions.RayTaskError as error:
                    yield task, None, error.cause
                except ray.exceptions.RayError as error:
                    yield task, None, ExecutorError(f"Ray could not run it: {error}")
    finally:
        ray.shutdown()


def connect(on: str, cores: int) -> Any:
    """Ray's module, connected to a cluster; one of this machine listens on loopback alone.

    From 2.59 on Ray makes a token for it, without which nobody may give it work.

    Args:
        on: `ray` or an address, as of `run_tasks`.
        cores: that a cluster of this machine counts.

    Raises:
        ExecutorError: Ray is not installed, or the cluster cannot be reached.
    """
    if on == RAY:  # read when Ray is imported; on Linux too a cluster of one machine then keeps to loopback
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # Ray's own is 15: on a machine that is busy its workers would wait for everybody.
        os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        import ray
    except ImportError as error:
        raise ExecutorError("Ray is not installed: pip install 'snt-zoo[ray]', or leave out --on") from error
    try:
        if on != RAY:
            ray.init(address=on, log_to_driver=False)
            return ray
        ray.init(
            address="local",
            num_cpus=cores,
            include_dashboard=False,
            log_to_driver=False,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ExecutorError(f"the Ray cluster {on} cannot be reached: {error}") from error
    return ray


def _at_once(ray: Any, need: Need) -> float:
    """Tasks that the cluster can run side by side."""
    there = ray.cluster_resources()
    able = [there.get(kind, 0.0) / each for kind, each in (("CPU", need.cpus), ("GPU", need.gpus)) if each]
    if min(able, default=1.0) < 1:
        raise ExecutorError(f"the cluster has no room for a task of {need}: it has {there}")
    return min(able, default=1.0)
