"""Makes the network of the demo page, docs/demo/: `python docs/demo/build.py`.

The path of a small supernet of the starter zoo as it was trained, as an ONNX file, and beside it what the
page shows of it. The rest of the page is written by hand; ort/ is of the npm package onnxruntime-web.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import snt_zoo
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.model_folder import model_files, write_into
from snt_zoo.registry import read_bundle
from snt_zoo.registry.starter import starter_bundles

SUPERNET = "nb201-font-latin-upper"
HERE = Path(__file__).parent


def build(out: Path) -> None:
    """Write `model.onnx` and `model.json`."""
    bundle = read_bundle(next(path for path in starter_bundles() if path.name == SUPERNET))
    config = bundle.config
    metrics = config.metrics.model_dump()
    model = DerivedModel.inherit(bundle.supernet).eval()
    accuracy = {part: float(metrics[f"{part}_accuracy"]) for part in ("val", "test")}
    licences = {SUPERNET: config.licence}
    with tempfile.TemporaryDirectory() as folder:
        files = model_files(
            model, class_names=config.class_names, source=SUPERNET, accuracy=accuracy, licences=licences
        )
        write_into(Path(folder), files)
        snt_zoo.export_model(folder, out=out / "model.onnx")
    about = {
        "supernet": SUPERNET,
        "class_names": list(config.class_names),
        "test_accuracy": accuracy["test"],
        "params": config.params,
        "macs": config.macs,
        "licence": config.licence,
    }
    text = json.dumps(about, indent=1, ensure_ascii=False)
    (out / "model.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    build(HERE)
