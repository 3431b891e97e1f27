from __future__ import annotations

import pytest
import torch

from snt_zoo.errors import DeviceError
from snt_zoo.networks import distributed
from snt_zoo.networks.device import resolve_device
from snt_zoo.networks.distributed import Team


def test_each_process_has_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")
    monkeypatch.setattr(distributed.Team, "current", classmethod(lambda cls: Team(3, 4)))
    assert resolve_device("auto") == torch.device("cuda", 3)


def test_a_device_that_is_not_there_is_an_error_that_says_what_to_use() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    for name in ("cuda:7", "nonsense"):
        with pytest.raises(DeviceError, match="use --device cpu or auto"):
            resolve_device(name)
