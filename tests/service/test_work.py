from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest
import torch

from snt_zoo.errors import BusyError
from snt_zoo.service.work import Workers, threads


def test_calls_run_in_threads_that_compute_alone() -> None:
    async def main() -> None:
        workers = Workers(partial(threads, 2), 12)
        names = await asyncio.gather(
            *(workers.run(lambda: threading.current_thread().name) for _ in range(6))
        )
        assert all(name.startswith("snt-zoo-serve") for name in names)
        assert await workers.run(torch.get_num_threads) == 1
        assert await workers.run(divmod, 7, 2) == (3, 1)
        assert workers.busy == 0
        workers.close()

    asyncio.run(main())


def test_more_than_may_wait_are_refused_and_an_error_frees_its_place() -> None:
    async def main() -> None:
        workers, hold = Workers(partial(threads, 1), 2), threading.Event()
        under_way = [asyncio.ensure_future(workers.run(hold.wait, 10)) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(BusyError, match="try again"):
            await workers.run(int)
        hold.set()
        assert await asyncio.gather(*under_way) == [True, True]
        with pytest.raises(ZeroDivisionError):
            await workers.run(divmod, 1, 0)
        assert workers.busy == 0
        workers.close()

    asyncio.run(main())


def test_who_gives_up_does_not_free_the_thread() -> None:
    async def main() -> None:
        workers, hold = Workers(partial(threads, 1), 1), threading.Event()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(workers.run(hold.wait, 10), 0.02)
        assert workers.busy == 1
        with pytest.raises(BusyError):
            await workers.run(int)
        hold.set()
        for _ in range(200):
            if not workers.busy:
                break
            await asyncio.sleep(0.01)
        assert await workers.run(int) == 0
        workers.close()

    asyncio.run(main())
