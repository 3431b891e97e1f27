"""Two processes train what one would: by torchrun and gloo, on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from snt_zoo.errors import TeamError
from snt_zoo.networks.distributed import Team, joined
from snt_zoo.search.searchers import list_searchers
from tests.networks import team_worker

ROOT = Path(__file__).parents[2]


def torchrun(*args: object, processes: int = 2) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*launcher, f"--nproc_per_node={processes}", *map(str, args)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=300, check=False, cwd=ROOT
    )


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("team")
    done = torchrun("-m", "tests.networks.team_worker", "work", out)
    assert done.returncode == 0, done.stderr
    return out


def both(worked: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    first, second = (load_file(worked / f"{name}-{rank}.safetensors") for rank in (0, 1))
    return first, second


def assert_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


@pytest.mark.parametrize("name", [*list_searchers(), "limited", "whole", "cut"])
def test_weights_alphas_and_statistics_are_the_same_bits_in_all(worked: Path, name: str) -> None:
    assert_equal(*both(worked, name))


@pytest.mark.parametrize("searcher", list_searchers())
def test_they_train_what_one_process_trains(worked: Path, searcher: str) -> None:
    alone = team_worker.trained(searcher, team_worker.few_digits())
    together, _ = both(worked, searcher)
    assert alone.keys() == together.keys() and any(name.startswith("alphas") for name in alone)
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-5, atol=1e-8)


def test_a_process_that_is_short_of_memory_changes_nothing(worked: Path) -> None:
    (limited, _), (whole, _) = both(worked, "limited"), both(worked, "gdas")
    for name, tensor in whole.items():
        torch.testing.assert_close(limited[name], tensor, rtol=1e-5, atol=1e-8)


def test_an_interrupted_run_of_two_goes_on_to_the_same_bits(worked: Path) -> None:
    assert_equal(both(worked, "cut")[0], both(worked, "whole")[0])


def test_only_the_first_writes_and_each_checkpoint_is_whole(worked: Path) -> None:
    assert [path.name for path in (worked / "whole").iterdir()] == ["checkpoint.safetensors"]


def test_a_process_that_fails_ends_all(tmp_path: Path) -> None:
    start = time.monotonic()
    done = torchrun("-m", "tests.networks.team_worker", "fail", tmp_path)
    assert done.returncode != 0
    assert "the second process fails" in done.stderr
    assert not list(tmp_path.iterdir())
    assert time.monotonic() - start < 120


def test_one_process_alone_is_a_team(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as team:
        assert team == Team() and team.first
    tensors = [torch.ones(2), torch.zeros(3)]
    assert all(a is b for a, b in zip(team.average(tensors), tensors, strict=True))
    assert team.largest(0.5, 3) == [0.5, 3] and team.tell("here") == "here"
    assert team.accuracy(0.25, 10) == 0.25
    split = team_worker.few_digits().val
    assert team.share(split) is split


def test_shares_of_a_split_are_all_of_it() -> None:
    split = team_worker.few_digits().val
    shares = [Team(rank, 3).share(split) for rank in range(3)]
    assert sum(map(len, shares)) == len(split)
    whole = torch.cat([share.labels for share in shares])
    assert whole.sort().values.equal(split.labels.sort().values)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(TeamError, match="--nproc_per_node=1"), joined():
        pass
