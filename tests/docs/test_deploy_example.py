"""The example of docs/deploy.md answers as `predict` does, for files of every kind, without snt-zoo."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import snt_zoo
from snt_zoo.data import Rendering
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import decode_for, predict
from snt_zoo.networks.model_folder import model_files, write_into
from snt_zoo.networks.trained_on import TrainedOn
from tests.conftest import TINY, MakeSupernet
from tests.docs.test_snippets import ROOT

pytest.importorskip("onnxruntime")

AROUND = """
import sys
sys.modules |= {{"snt_zoo": None, "torch": None, "torchvision": None}}
{example}
asked = [session.run(None, {{"image": pixels(path)[None]}})[0][0] for path in sys.argv[1:]]
print(json.dumps([answer.tolist() for answer in asked]))
"""


def example() -> str:
    """The block of the page that imports onnxruntime."""
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    (found,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        if "import onnxruntime" in block
    )
    return str(found)


def pictures(folder: Path) -> list[Path]:
    """Files of every kind that the example speaks of."""
    generator = np.random.default_rng(0)
    scene = Image.fromarray(generator.integers(0, 256, (9, 12, 4), dtype=np.uint8), "RGBA")
    scene = scene.resize((640, 480), Image.Resampling.BICUBIC)
    plain = scene.convert("RGB")
    turned = Image.Exif()
    turned[0x0112] = 6
    plain.save(folder / "new.jpg")  # large enough to be decoded at a part of its size
    plain.resize((31, 57)).save(folder / "turned.jpg", exif=turned)
    scene.resize((90, 40)).save(folder / "transparent.png")
    plain.convert("P").save(folder / "palette.png")
    plain.convert("L").resize((20, 20)).save(folder / "grey.png")
    return sorted(path for path in folder.iterdir() if path.is_file())


def test_it_answers_as_predict_does(make_supernet: MakeSupernet, tmp_path: Path) -> None:
    model = DerivedModel.inherit(make_supernet(TINY["nas_bench_201"])).eval()
    known = TrainedOn(rendering=Rendering("black"))
    files = model_files(
        model, class_names=list("abcdefghij"), source="scratch", accuracy={}, trained_on=known
    )
    paths = pictures(tmp_path)
    write_into(tmp_path / "model", files)
    snt_zoo.export_model(tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", AROUND.format(example=example()), *paths],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answers = np.array(json.loads(done.stdout.splitlines()[-1]))
    loaded = snt_zoo.load_model(tmp_path / "model")
    rendering = loaded.trained_on.rendering
    wanted = [predict(loaded.model, *decode_for(loaded.model, path, rendering=rendering)) for path in paths]
    assert answers == pytest.approx(np.concatenate(wanted), abs=1e-5)
    assert len({tuple(np.round(row, 4)) for row in answers}) == len(paths)
