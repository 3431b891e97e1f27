from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from starlette.testclient import TestClient

from snt_zoo.data import open_dataset
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.target import Target
from snt_zoo.registry import Registry
from snt_zoo.registry.bundle.sketch_file import dump_sketches
from snt_zoo.registry.retrieval import retrieve
from snt_zoo.service.app import create_app
from snt_zoo.service.settings import Settings
from snt_zoo.zoo import Zoo
from tests.registry.making import make_bundle, sketch


def asked(client: TestClient, made: Sketch, **params: Any) -> dict[str, Any]:
    answer = client.post("/v1/query", content=dump_sketches([made]), params=params)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def test_a_sketch_gets_the_answer_that_the_registry_gives_here(client: TestClient, zoo: Zoo) -> None:
    made = sketch(seed=1)
    served = asked(client, made, k=2)
    here = retrieve(zoo.registry, Target(made), k=2).to_json()
    assert served["matches"] == here["matches"]
    assert served["ranked_by"] == here["ranked_by"]
    assert served["matches"][0]["class_matches"], "the reason of the rank"
    ranked = asked(client, made, distance="mean-feature", name="le*")
    assert ranked["ranked_by"]["distance"] == "mean-feature"
    assert {match["id"].rpartition("-")[0] for match in ranked["matches"]} == {"leaves", "letters"}


@pytest.mark.parametrize(
    ("params", "status", "kind"),
    [
        ({"k": 0}, 422, "RequestError"),
        ({"k": 101}, 422, "RequestError"),
        ({"distance": "logme"}, 422, "DatasetError"),
        ({"distance": "nothing"}, 422, "UnknownComponentError"),
        ({"max_params": 1}, 404, "NoMatchError"),
        ({"exclude": "lettres"}, 404, "NotInRegistryError"),
    ],
)
def test_what_cannot_be_asked_is_told(
    client: TestClient, params: dict[str, Any], status: int, kind: str
) -> None:
    answer = client.post("/v1/query", content=dump_sketches([sketch()]), params=params)
    assert (answer.status_code, answer.json()["error"]["kind"]) == (status, kind)


def test_a_sketch_of_another_backbone_cannot_be_compared(client: TestClient) -> None:
    answer = client.post("/v1/query", content=dump_sketches([sketch(backbone="other/gauss-64")]))
    assert (answer.status_code, answer.json()["error"]["kind"]) == (409, "IndexMismatchError")


def test_what_is_no_sketch_is_refused(client: TestClient) -> None:
    good = dump_sketches([sketch()])
    for raw in (b"", b"\0" * 100, good[:-1], good + b"x", dump_sketches([sketch(), sketch()]), b"{}"):
        assert client.post("/v1/query", content=raw).status_code == 422


def test_the_distance_between_two_entries(client: TestClient, zoo: Zoo) -> None:
    found = client.get("/v1/distance", params={"a": "letters", "b": "leaves"}).json()
    assert found["distance"] == pytest.approx(zoo.distance("letters", "leaves").distance)
    assert client.get("/v1/distance", params={"a": "letters", "b": "letters"}).json()["distance"] < 1e-3
    assert client.get("/v1/distance", params={"a": "letters"}).status_code == 422
    assert client.get("/v1/distance", params={"a": "letters", "b": "photos/"}).status_code == 404


# ---- images -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "photos"
    digits = load_digits()
    for name, digit in (("nought", 0), ("one", 1)):
        (root / name).mkdir(parents=True)
        for i, pixels in enumerate(digits.images[digits.target == digit][:12]):
            Image.fromarray((pixels * 15.9).astype("uint8")).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def real(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """A zoo whose supernets were sketched by the backbone that looks at images."""
    folder = tmp_path_factory.mktemp("real")
    registry = Registry.open(folder / "home")
    zoo = Zoo(registry)
    seen = zoo.sketch(open_dataset(photos))
    near = replace(seen, counts=torch.tensor([30, 30]), name="shapes")  # as `source` says
    far = sketch(seed=5, backbone=seen.backbone, classes=2)
    for seed, (name, made) in enumerate({"near": near, "far": far}.items()):
        bundle = make_bundle(folder / name, seed=seed, name=name, sketches=[made], backbone=seen.backbone)
        registry.add(bundle)
    return zoo


def as_files(photos: Path) -> list[tuple[str, tuple[str, bytes]]]:
    return [
        ("files", (f"photos/{path.parent.name}/{path.name}", path.read_bytes()))
        for path in sorted(photos.rglob("*.png"))
    ]


def as_zip(photos: Path) -> list[tuple[str, tuple[str, bytes]]]:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for _, (name, raw) in as_files(photos):
            archive.writestr(name, raw)
        archive.writestr("__MACOSX/photos/._one", b"x")
        archive.writestr("photos/README.txt", "by hand")
    return [("files", ("../../photos.ZIP", content.getvalue()))]


def as_npz(photos: Path) -> list[tuple[str, tuple[str, bytes]]]:
    content = io.BytesIO()
    images = [np.array(Image.open(path)) for path in sorted(photos.rglob("*.png"))]
    labels = [int(path.parent.name == "one") for path in sorted(photos.rglob("*.png"))]
    names = np.array(["nought", "one"])
    np.savez(content, train_images=np.stack(images), train_labels=np.array(labels), class_names=names)
    return [("files", ("digits.npz", content.getvalue()))]


@pytest.mark.parametrize("pack", [as_files, as_zip, as_npz])
def test_images_get_the_answer_that_the_command_line_gives(
    real: Zoo, photos: Path, pack: Callable[[Path], Any]
) -> None:
    with TestClient(create_app(real, Settings(threads=1)), base_url="http://localhost") as client:
        answer = client.post("/v1/query/images", files=pack(photos))
        assert answer.status_code == 200, answer.text
    here = real.query(open_dataset(photos), probe=False).to_json()
    served = answer.json()
    assert [match["id"] for match in served["matches"]] == [match["id"] for match in here["matches"]]
    assert {pair["target"] for pair in served["matches"][0]["class_matches"]} == {"nought", "one"}
    if pack is not as_npz:  # whose images come in another order of bytes
        assert served["matches"][0]["distance"] == pytest.approx(here["matches"][0]["distance"], abs=1e-6)
