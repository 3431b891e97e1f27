"""What a network is worth outside of Python: the same answers, its size, its speed, in float32 and int8.

    python -m benchmarks.export --json --data DIR [--photos DIR] [--seconds 15]

A network of every kind is made by a short finetuning: of the three spaces, from a supernet of the starter
zoo, on sets of 32 pixels a side; a linear probe, one of two looks, and an ensemble of a derived network and
that probe, on photographs. Each is exported, and asked about every image of the test part, from the file as
it lies in the dataset (from a PNG where it lies in an array), beside `predict`. Latency is that of one image
by one thread: wall clock and, as the machine may be busy, processor time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.document import RESULTS, document, tell, write
from snt_zoo import Zoo, load_model, open_dataset
from snt_zoo.data import ImageDataset
from snt_zoo.data.originals import originals
from snt_zoo.encoders.backbone import get_backbone
from snt_zoo.encoders.probe import fit_probe
from snt_zoo.encoders.sketch import Sample
from snt_zoo.errors import ExportError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.ensemble import Ensemble, fit_pool, members
from snt_zoo.networks.evaluate import Model, evaluate, logits
from snt_zoo.networks.export.agreement import compare
from snt_zoo.networks.export.onnx_file import OnnxNetwork
from snt_zoo.networks.model_folder import model_files, write_into
from snt_zoo.networks.trained_on import TrainedOn
from snt_zoo.search.adapting.probe_network import probe_network
from snt_zoo.workflows.bench import bench
from snt_zoo.workflows.export import export_model

COMMAND = "python -m benchmarks.export --json --data DIR --photos DIR"
LOOKS = ("mobilenet_v2", "efficientnet_lite0@128")
BENCH_SECONDS = 2.0


@dataclass(frozen=True)
class Kind:
    """A network to make: its name, its dataset, and how it is made of the dataset and a budget."""

    name: str
    dataset: Path
    make: Callable[[ImageDataset, float], Model]


def derived(start: str) -> Callable[[ImageDataset, float], Model]:
    """A derived network from a supernet of the starter zoo."""

    def make(data: ImageDataset, seconds: float) -> Model:
        with tempfile.TemporaryDirectory() as home:
            return Zoo.open(home).finetune(start, data, budget=seconds, floor=False, device="cpu").model

    return make


def probe(looks: tuple[str, ...]) -> Callable[[ImageDataset, float], Model]:
    """A linear probe by one look, or by several that answer together."""

    def make(data: ImageDataset, seconds: float) -> Model:
        first, *others = (fit_probe(data, Sample.of(data, get_backbone(look))) for look in looks)
        val = [
            torch.cat(
                [
                    backbone.features(data.val.read(rows, backbone.size))
                    for rows in torch.split(torch.arange(len(data.val)), 64)
                ]
            )
            for backbone in map(get_backbone, looks)
        ]
        return probe_network(first.with_others(others, val, data.val.labels))

    return make


def ensemble(data: ImageDataset, seconds: float) -> Model:
    """A derived network and a probe of two looks, with weights fitted as a run fits them."""
    network = derived("mobile-imagenet")(data, seconds)
    asked = members(probe(LOOKS)(data, seconds))
    assert isinstance(network, DerivedModel)
    said = [logits(each, data.val) for each in asked]
    together = torch.stack([each.log_softmax(1) for each in said]).mean(0)
    weights = fit_pool([logits(network, data.val), together], data.val.labels).weights
    return Ensemble(
        [network, *asked], torch.cat([weights[:1], (weights[1:] / len(asked)).expand(len(asked))])
    )


def kinds(sets: Path, photos: Path | None) -> list[Kind]:
    """Every kind of network with its dataset."""
    found = [
        Kind("nas_bench_201", sets / "mnist10k.npz", derived("nb201-font-latin-upper")),
        Kind("darts", sets / "icon_files.npz", derived("darts-icon-objects")),
        Kind("mobile", sets / "font_digits.npz", derived("mobile-font-latin-upper")),
    ]
    if photos is not None:
        found += [
            Kind("mobile, photographs", photos / "paintings7", derived("mobile-imagenet")),
            Kind("probe", photos / "trash6", probe(LOOKS[:1])),
            Kind("probe of two looks", photos / "trash6", probe(LOOKS)),
            Kind("ensemble", photos / "trash6", ensemble),
        ]
    return found


def measure(kind: Kind, seconds: float, folder: Path) -> dict[str, Any]:
    """A row: what the network and its files come to."""
    data = open_dataset(kind.dataset)
    model = kind.make(data, seconds).eval()
    accuracy = evaluate(model, data.test)
    write_into(
        folder,
        model_files(
            model,
            class_names=data.class_names,
            source="benchmark",
            accuracy={"test": accuracy},
            trained_on=TrainedOn.of(data),
        ),
    )
    loaded = load_model(folder)
    made = export_model(folder, data=data)
    found = compare(OnnxNetwork(made.path), loaded, originals(data.test, len(data.test)))
    row: dict[str, Any] = {
        "kind": kind.name,
        "dataset": data.name,
        "test_images": found.images,
        "largest_difference": found.largest,
        "same_class": found.top,
        "bytes": {"weights": (folder / "model.safetensors").stat().st_size, "float32": made.size},
        "accuracy": {"torch": accuracy},
        "latency": {},
    }
    try:
        small = export_model(folder, data=data, int8=True, max_drop=1.0)
        row["bytes"]["int8"] = small.size
        row["accuracy"] |= small.accuracy
        row["int8_same_class"] = compare(
            OnnxNetwork(small.path), loaded, originals(data.test, len(data.test))
        ).top
    except ExportError as error:
        row["int8"] = str(error)
    for file in (folder, made.path, folder / "model-int8.onnx"):
        if not file.exists():
            continue
        for each in bench(file, threads=1, seconds=BENCH_SECONDS)["measured"]:
            name = f"{each['engine']}, {each['part']}" + (", int8" if "int8" in file.name else "")
            row["latency"][name] = {key: each[key] for key in ("p50", "p90", "processor", "peak_bytes")}
    return row


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the rows come to."""
    small = [row for row in rows if "int8" in row["accuracy"]]
    drops = [row["accuracy"]["float32"] - row["accuracy"]["int8"] for row in small]
    return {
        "kinds": len(rows),
        "largest_difference": max(row["largest_difference"] for row in rows),
        "all_same_class": all(row["same_class"] == 1 for row in rows),
        "int8_mean_drop": sum(drops) / max(len(drops), 1),
        "int8_times_smaller": {
            row["kind"]: round(row["bytes"]["float32"] / row["bytes"]["int8"], 2) for row in small
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print the document as JSON")
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz sets of 32 pixels a side")
    parser.add_argument("--photos", type=Path, help="folder of sets of photographs")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each finetuning")
    parser.add_argument("--only", action="append", help="a kind; may be repeated")
    parser.add_argument("--out", type=Path, default=RESULTS / "export.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for kind in kinds(args.data, args.photos):
        if args.only and kind.name not in args.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(kind, args.seconds, Path(folder) / "model"))
        tell(rows[-1])
        made = document(COMMAND, rows, summary(rows))
        write(args.out, made)
    if args.json:
        print(json.dumps(made, indent=1, ensure_ascii=False))
    else:
        print(json.dumps(made["summary"], indent=1))


if __name__ == "__main__":
    main()
