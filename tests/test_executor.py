from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import textwrap
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from snt_zoo.errors import ExecutorError
from snt_zoo.executor import LOCAL, RAY, run_tasks

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install ray")
EXECUTORS = [LOCAL, pytest.param(RAY, marks=needs_ray)]


def inverse(number: float) -> float:
    return 1 / number


def write(folder: Path, number: int) -> int:
    """Its artefact tells how often a task was run."""
    time.sleep(0.02)
    with (folder / str(number)).open("a", encoding="utf-8") as file:
        file.write("x")
    return number


def killed(folder: Path, number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(folder, number)


def never_twice(folder: Path, number: int) -> int:
    """Killed the first time."""
    if number == 1 and not (folder / "begun").exists():
        (folder / "begun").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return write(folder, number)


def listening(_: int) -> set[str]:
    """Addresses beyond loopback at which something on this machine listens."""
    loopback = ("0100007F:", "00000000000000000000000001000000:", "0000000000000000FFFF00000100007F:")
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state == "0A" and not address.startswith(loopback):
                found.add(address)
    return found


def niceness(_: int) -> int:
    return os.nice(0)


@needs_ray
def test_a_worker_of_ray_waits_no_longer_than_others() -> None:
    (ended,) = run_tasks(niceness, [0], on=RAY)
    assert ended.result == os.nice(0)


@needs_ray
@pytest.mark.skipif(not Path("/proc/net/tcp6").is_file(), reason="reads Linux's table of sockets")
def test_a_cluster_of_this_machine_listens_on_loopback_alone() -> None:
    before = listening(0)
    (ended,) = run_tasks(listening, [0], on=RAY)
    assert ended.result is not None
    assert ended.result <= before


@pytest.mark.parametrize("on", EXECUTORS)
def test_each_task_ends_once_and_a_failure_ends_no_other(on: str) -> None:
    ended = list(run_tasks(inverse, [1.0, 0.0, 4.0, 8.0], on=on, workers=2))
    assert {each.task: each.result for each in ended} == {1.0: 1.0, 0.0: None, 4.0: 0.25, 8.0: 0.125}
    failed = [each for each in ended if each.error is not None]
    assert [(each.task, type(each.error)) for each in failed] == [(0.0, ZeroDivisionError)]
    assert ended[-1].left == 0 < ended[0].left


def resolved(path: Path) -> Path:
    return path.absolute()


@pytest.mark.parametrize("on", EXECUTORS)
def test_a_relative_path_means_the_same_to_a_worker(
    on: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (ended,) = run_tasks(resolved, [Path("photos")], on=on)
    assert ended.result == tmp_path / "photos"


def test_no_task_is_no_work() -> None:
    assert list(run_tasks(inverse, [])) == []


def test_a_killed_process_takes_no_other_task_along(tmp_path: Path) -> None:
    ended = list(run_tasks(functools.partial(killed, tmp_path), list(range(6)), workers=2))
    assert sorted(each.task for each in ended) == list(range(6))
    (lost,) = [each for each in ended if each.error is not None]
    assert lost.task == 1
    assert isinstance(lost.error, ExecutorError)
    assert "killed twice" in str(lost.error)


def test_a_task_whose_process_was_killed_is_tried_again(tmp_path: Path) -> None:
    ended = list(run_tasks(functools.partial(never_twice, tmp_path), [0, 1, 2], workers=1))
    assert sorted(each.result for each in ended if each.result is not None) == [0, 1, 2]
    assert (tmp_path / "1").read_text(encoding="utf-8") == "x"


def test_only_a_few_tasks_begin_ahead(tmp_path: Path) -> None:
    ending = run_tasks(functools.partial(write, tmp_path), list(range(50)), workers=1)
    next(ending)
    ending.close()  # type: ignore[attr-defined]
    assert len(list(tmp_path.iterdir())) <= 3


def test_a_driver_that_was_killed_repeats_nothing(tmp_path: Path) -> None:
    """What is there is left out by the caller; only what ran at the kill may be done twice."""
    folder = tmp_path / "made"
    folder.mkdir()
    driver = textwrap.dedent(
        f"""
        import functools, pathlib
        from snt_zoo.executor import run_tasks
        from tests.test_executor import write

        if __name__ == "__main__":
            folder = pathlib.Path({str(folder)!r})
            left = [n for n in range(40) if not (folder / str(n)).exists()]
            list(run_tasks(functools.partial(write, folder), left, workers=2))
        """
    )
    script = tmp_path / "driver.py"
    script.write_text(driver, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    for _ in range(3):
        process = subprocess.Popen([sys.executable, str(script)], env=environment, start_new_session=True)
        had = len(list(folder.iterdir()))
        while len(list(folder.iterdir())) < min(had + 8, 40) and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([sys.executable, str(script)], env=environment, check=True)
    times = [len((folder / str(n)).read_text(encoding="utf-8")) for n in range(40)]
    assert min(times) == 1
    assert sum(times) <= 40 + 2 * 3


def test_an_unknown_executor_is_named() -> None:
    with pytest.raises(ExecutorError, match="no executor 'slurm': choose local, ray or ray://HOST:PORT"):
        list(run_tasks(inverse, [1.0], on="slurm"))
