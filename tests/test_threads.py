"""How threads wait and how many there are, as a fresh process sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

ASKED = """
import json, os, sys
{before}
import snt_zoo
names = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT")
policy = {{name: os.environ[name] for name in names if name in os.environ}}
import torch
print(json.dumps([policy, torch.get_num_threads(), torch.get_num_interop_threads()]))
"""


def asked(before: str = "", **variables: str) -> tuple[dict[str, str], int, str]:
    """Policy and number of threads in a fresh process, and what it said on stderr."""
    inherited = {
        k: v for k, v in os.environ.items() if not k.startswith(("OMP", "KMP", "GOMP", "SNT", "MKL"))
    }
    done = subprocess.run(
        [sys.executable, "-c", ASKED.format(before=before)],
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    policy, threads, _ = json.loads(done.stdout)
    return policy, threads, done.stderr


def test_threads_sleep_while_they_wait() -> None:
    policy, _, told = asked()
    assert policy == {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
    assert told == ""


@pytest.mark.parametrize(
    "own", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "1000"}, {"KMP_BLOCKTIME": "200"}]
)
def test_the_users_own_policy_stays(own: dict[str, str]) -> None:
    assert asked(**own)[0] == own


@pytest.mark.parametrize("before", ["", "import torch"])
def test_the_number_of_threads_is_that_of_the_variable(before: str) -> None:
    assert asked(before, SNT_ZOO_THREADS="1", OMP_NUM_THREADS="2")[1] == 1


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5", "²"])
def test_a_number_that_cannot_be_read_is_told_and_has_no_effect(wrong: str) -> None:
    _, threads, told = asked(SNT_ZOO_THREADS=wrong, OMP_NUM_THREADS="1")
    assert threads == 1 and f"SNT_ZOO_THREADS must be a number of threads, 1 or more, got {wrong!r}" in told
