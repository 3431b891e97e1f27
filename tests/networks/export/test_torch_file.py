"""A program of `torch.export` answers as the network does, and loads without snt-zoo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.export.agreement import check, shipped_images
from snt_zoo.networks.export.deployed import description
from snt_zoo.networks.export.torch_file import METADATA, run_program, to_program
from tests.conftest import TINY, MakeSupernet
from tests.networks.export.making import ensemble, loaded

ALONE = f"""
import sys
sys.modules["snt_zoo"] = None
import json, torch
more = {{"{METADATA}": ""}}
program = torch.export.load(sys.argv[1], extra_files=more)
print(json.loads(more["{METADATA}"])["source"], program.module()(torch.zeros(1, 9, 5, 3).byte()).shape)
"""


@pytest.mark.parametrize("name", ["nas_bench_201", "ensemble"])
def test_a_program_answers_as_the_network_does(
    name: str, make_supernet: MakeSupernet, tmp_path: Path
) -> None:
    model = (
        ensemble(make_supernet)
        if name == "ensemble"
        else DerivedModel.inherit(make_supernet(TINY[name])).eval()
    )
    given = loaded(model)
    content = to_program(model, description(given))
    assert check(run_program(content), given, shipped_images()).largest < 1e-5
    path = tmp_path / "model.pt2"
    path.write_bytes(content)
    done = subprocess.run([sys.executable, "-c", ALONE, path], capture_output=True, text=True)
    assert done.stdout.strip() == "a source torch.Size([1, 10])", done.stderr
