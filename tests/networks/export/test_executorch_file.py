"""A program of ExecuTorch answers as the network does; skipped where the extra `mobile` is not installed."""

from __future__ import annotations

import json
import sys

import pytest

from snt_zoo.errors import ExportError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.export.agreement import check, shipped_images
from snt_zoo.networks.export.deployed import description
from snt_zoo.networks.export.executorch_file import ABOUT, run_executorch, to_executorch
from tests.conftest import TINY, MakeSupernet
from tests.networks.export.making import ensemble, loaded


@pytest.mark.parametrize("name", ["nas_bench_201", "mobile", "ensemble"])
def test_a_program_answers_as_the_network_does(name: str, make_supernet: MakeSupernet) -> None:
    runtime = pytest.importorskip("executorch.runtime", reason="the extra mobile is not installed")
    model = (
        ensemble(make_supernet)
        if name == "ensemble"
        else DerivedModel.inherit(make_supernet(TINY[name])).eval()
    )
    given = loaded(model)
    content = to_executorch(model, description(given))
    assert check(run_executorch(content, model), given, shipped_images()[:6]).largest < 1e-5
    program = runtime.Runtime.get().load_program(content)
    (said,) = program.load_method(ABOUT).execute([])
    assert json.loads(said)["source"] == given.source


def test_what_lacks_is_named(make_supernet: MakeSupernet, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (
        "executorch",
        "executorch.exir",
        "executorch.backends.xnnpack.partition.xnnpack_partitioner",
    ):
        monkeypatch.setitem(sys.modules, module, None)
    model = DerivedModel.inherit(make_supernet(TINY["nas_bench_201"])).eval()
    with pytest.raises(ExportError, match=r"snt-zoo\[mobile\]"):
        to_executorch(model, {})
