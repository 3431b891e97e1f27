"""Either format of a sketch is read to what was written, and nothing else is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from snt_zoo.encoders.sketch import COVARIANCE_DIM, Sketch
from snt_zoo.errors import ConfigError, TensorError
from tests.encoders.making import random_sketch

FORMAT_1 = Path(__file__).parent / "samples" / "sketch_format_1.safetensors"


def equal(left: Sketch, right: Sketch) -> bool:
    names = ("counts", "means", "covariances", "samples", "sample_labels")
    return (left.name, left.backbone, left.class_names) == (
        right.name,
        right.backbone,
        right.class_names,
    ) and all(torch.equal(getattr(left, n), getattr(right, n)) for n in names)


def test_a_file_of_the_first_format_is_read() -> None:
    """The sketch of `textile_sim` as the first starter zoo shipped it."""
    with safe_open(FORMAT_1, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no dictionary
        meta = file.metadata()["sketch"]
    old = Sketch.from_tensors(tensors, meta)
    assert old.name == "textile_sim" and len(old.class_names) == 3
    rows, columns = torch.triu_indices(COVARIANCE_DIM, COVARIANCE_DIM)
    stored = tensors["covariances"].float()
    torch.testing.assert_close(old.covariances[:, rows, columns], stored, atol=0, rtol=0)
    torch.testing.assert_close((old.roots @ old.roots).float(), old.covariances, atol=1e-6, rtol=1e-5)
    # Written again it is of the second format, and the same but for rounding.
    again = Sketch.from_tensors(old.to_tensors(), old.to_meta())
    assert set(again.to_tensors()) == {"counts", "means", "roots", "samples", "sample_labels"}
    torch.testing.assert_close(again.covariances, old.covariances, atol=3e-4, rtol=0)
    assert equal(again, Sketch.from_tensors(again.to_tensors(), again.to_meta()))


def test_the_first_format_of_many_classes_is_read() -> None:
    classes = 97
    made = random_sketch(classes)
    variances = torch.rand(classes, COVARIANCE_DIM // 2).half()
    tensors = {k: t for k, t in made.to_tensors().items() if k not in ("roots", "scales")}
    meta = made.to_meta().replace('"format": 2, ', "")
    old = Sketch.from_tensors(tensors | {"covariances": variances}, meta)
    torch.testing.assert_close(old.covariances, variances.float().repeat_interleave(2, 1))
    torch.testing.assert_close(old.roots.square().float(), old.full_covariances())


def test_above_96_classes_a_common_shape_keeps_every_trace() -> None:
    made = random_sketch(97)
    read = Sketch.from_tensors(made.to_tensors(), made.to_meta())

    def traces(s: Sketch) -> torch.Tensor:
        return s.covariances.diagonal(dim1=1, dim2=2).sum(1)

    torch.testing.assert_close(traces(read), traces(made), atol=0, rtol=5e-3)


def test_what_is_read_is_positive_whatever_the_rounding() -> None:
    thin = random_sketch(4)
    rank_one = thin.means[:, :COVARIANCE_DIM, None] * thin.means[:, None, :COVARIANCE_DIM]
    made = replace(thin, covariances=rank_one)
    read = Sketch.from_tensors(made.to_tensors(), made.to_meta())
    assert float(torch.linalg.eigvalsh(read.covariances.double()).min()) > -1e-5


def test_an_unknown_format_is_refused_with_what_to_do() -> None:
    made = random_sketch(3)
    for version in ("3", "true", "null", "1.0", '"2"'):
        with pytest.raises(ConfigError, match="use a newer release"):
            meta = made.to_meta().replace('"format": 2', f'"format": {version}')
            Sketch.from_tensors(made.to_tensors(), meta)


def test_a_damaged_sketch_is_refused() -> None:
    good = random_sketch(3)
    tensors, meta = good.to_tensors(), good.to_meta()
    assert Sketch.from_tensors(tensors, meta).class_names == good.class_names
    with pytest.raises(TensorError, match="must hold"):
        Sketch.from_tensors({k: v for k, v in tensors.items() if k != "means"}, meta)
    with pytest.raises(TensorError, match="must hold"):
        Sketch.from_tensors(tensors | {"means": tensors["means"][:, :3]}, meta)
    with pytest.raises(TensorError, match="must hold"):
        Sketch.from_tensors(tensors | {"counts": tensors["counts"].float()}, meta)
    nan = tensors["means"].clone()
    nan[0, 0] = float("nan")
    with pytest.raises(TensorError, match="NaN or infinity in 'means'"):
        Sketch.from_tensors(tensors | {"means": nan}, meta)
    with pytest.raises(TensorError, match="counts below 1"):
        Sketch.from_tensors(tensors | {"counts": torch.tensor([1, 0, 2])}, meta)
    many = random_sketch(97)
    scaled = many.to_tensors()
    with pytest.raises(TensorError, match="scales below 0"):
        Sketch.from_tensors(scaled | {"scales": -scaled["scales"]}, many.to_meta())
    for wrong in ("", "[]", "{}", '{"name": 3, "backbone": "b", "class_names": ["a"]}', "[" * 100_000):
        with pytest.raises(ConfigError, match="metadata of a sketch"):
            Sketch.from_tensors(tensors, wrong)
