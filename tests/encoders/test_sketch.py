"""A sketch is small, does not depend on order, and survives a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from snt_zoo.data import ImageDataset, Split
from snt_zoo.data.stores import ArrayStore
from snt_zoo.encoders.backbone import get_backbone, list_backbones, register_backbone
from snt_zoo.encoders.embedding import EMBEDDING_DIM, embed
from snt_zoo.encoders.projection import DIM, project, projection
from snt_zoo.encoders.sketch import COVARIANCE_DIM, SIZE_LIMIT, Sketch, sketch
from snt_zoo.errors import ConfigError, TensorError, UnknownComponentError
from tests.encoders.making import cheap_backbone, random_sketch, relabelled
from tests.encoders.test_shrinkage import oas_by_hand

FORMAT_1 = Path(__file__).parent / "samples" / "sketch_format_1.safetensors"


def equal(left: Sketch, right: Sketch) -> bool:
    names = ("counts", "means", "covariances", "samples", "sample_labels")
    return (left.name, left.backbone, left.class_names) == (
        right.name,
        right.backbone,
        right.class_names,
    ) and all(torch.equal(getattr(left, n), getattr(right, n)) for n in names)


def test_the_order_of_the_images_changes_nothing(digits: ImageDataset) -> None:
    first = sketch(digits, backbone=cheap_backbone())
    for seed in range(3):
        order = torch.randperm(len(digits.train), generator=torch.Generator().manual_seed(seed))
        again = sketch(relabelled(digits, order, range(10)), backbone=cheap_backbone())
        torch.testing.assert_close(again.means, first.means, atol=2e-3, rtol=0)  # float16's last bit
        torch.testing.assert_close(again.covariances, first.covariances, atol=1e-3, rtol=2e-3)
        assert torch.equal(again.counts, first.counts)


def test_the_order_of_the_classes_only_renumbers_them(digits: ImageDataset) -> None:
    first = sketch(digits, backbone=cheap_backbone())
    classes = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    again = sketch(relabelled(digits, torch.arange(len(digits.train)), classes), backbone=cheap_backbone())
    assert again.class_names == tuple(first.class_names[i] for i in classes)
    torch.testing.assert_close(again.means, first.means[classes], atol=2e-3, rtol=0)
    torch.testing.assert_close(embed(again), embed(first), atol=1e-3, rtol=0)


def test_the_same_seed_draws_the_same_images(digits: ImageDataset) -> None:
    backbone = cheap_backbone()
    assert equal(sketch(digits, backbone=backbone), sketch(digits, backbone=backbone))
    assert not equal(sketch(digits, backbone=backbone), sketch(digits, backbone=backbone, seed=1))


def test_moments_equal_those_of_all_images_where_all_are_drawn(digits: ImageDataset) -> None:
    part = ImageDataset(
        "part", digits.class_names, digits.train.subset(torch.arange(150)), digits.val, digits.test
    )
    backbone = cheap_backbone()
    made = sketch(part, backbone=backbone)
    features = project(backbone.features(part.train.tensor(backbone.size))).double().numpy()
    labels = part.train.labels.numpy()
    own = [features[labels == k] for k in range(10)]
    means = np.stack([x.mean(0) for x in own])
    np.testing.assert_allclose(made.means.numpy(), means, atol=2e-3)
    for k, x in enumerate(own):
        expected = oas_by_hand(x[:, :COVARIANCE_DIM])
        np.testing.assert_allclose(made.covariances[k].numpy(), expected, atol=1e-3)


def many_classes(classes: int, each: int, name_length: int) -> ImageDataset:
    count = classes * each
    pixels = torch.randint(0, 256, (count, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    split = Split(ArrayStore(pixels), torch.arange(count) % classes)
    names = tuple(f"{i:05d}" + "ß" * name_length for i in range(classes))
    return ImageDataset("many", names, split, split, split)


@pytest.mark.parametrize(
    ("classes", "each", "name_length"), [(2, 400, 3), (46, 20, 9), (97, 4, 0), (1200, 2, 60)]
)
def test_a_sketch_stays_under_200_kilobytes(classes: int, each: int, name_length: int) -> None:
    made = sketch(many_classes(classes, each, name_length), backbone=cheap_backbone())
    assert len(save(made.to_tensors(), metadata={"sketch": made.to_meta()})) <= SIZE_LIMIT
    assert len(made.class_names) == min(classes, 1000)
    assert len(made.stored_roots.shapes) == (len(made.class_names) if classes <= 96 else 1)
    assert equal(Sketch.from_tensors(made.to_tensors(), made.to_meta()), made)


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


def test_the_projection_keeps_squared_distances_in_expectation() -> None:
    x = torch.randn(200, 1280, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(x, dim=1)
    before, after = torch.pdist(unit).square(), torch.pdist(project(x)).square()
    assert float((after / before).mean()) == pytest.approx(1.0, abs=0.02)
    assert float((after / before).std()) == pytest.approx((2 / DIM) ** 0.5, rel=0.1)


def test_the_projection_never_changes() -> None:
    # Sketches that lie in other people's bundles were made with it; the values are the stream's first.
    first = np.random.RandomState(20260101).standard_normal(3) / 8
    np.testing.assert_array_equal(projection(1280)[0, :3].numpy(), first.astype(np.float32))


def test_an_embedding_has_unit_length() -> None:
    vector = embed(random_sketch(7))
    assert vector.shape == (EMBEDDING_DIM,) and vector.dtype == torch.float32
    assert float(vector.norm()) == pytest.approx(1.0, abs=1e-6)


def test_the_default_backbone_needs_no_network_and_sees(digits: ImageDataset) -> None:
    backbone = get_backbone()
    assert backbone.dim == 1280 and not any(p.requires_grad for p in backbone.network.parameters())
    part = digits.train.subset(torch.arange(120))
    features = backbone.features(part.tensor(backbone.size))
    assert features.shape == (120, 1280)
    # Leave-one-out nearest neighbour on ImageNet features: far over chance (0.1) on digits.
    distances = torch.cdist(features, features)
    distances.fill_diagonal_(float("inf"))
    hits = part.labels[distances.argmin(1)] == part.labels
    assert float(hits.double().mean()) > 0.7


def test_backbones_are_found_by_name() -> None:
    assert "mobilenet_v2" in list_backbones()
    with pytest.raises(UnknownComponentError, match="timm:NAME"):
        get_backbone("resnet")
    with pytest.raises(UnknownComponentError, match=r"timm\.list_pretrained"):
        get_backbone("timm:no_such_model")
    with pytest.raises(ValueError, match="registered already"):
        register_backbone("mobilenet_v2")(cheap_backbone)


def test_a_timm_model_makes_a_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    create = timm.create_model
    # The network is timm's own; only the download of its weights is left out.
    monkeypatch.setattr(
        timm, "create_model", lambda name, pretrained, **k: create(name, pretrained=False, **k)
    )
    backbone = get_backbone("timm:mobilenetv3_small_050")
    images = torch.zeros(2, 3, backbone.size, backbone.size, dtype=torch.uint8)
    assert backbone.id == "timm:mobilenetv3_small_050"
    assert backbone.features(images).shape == (2, backbone.dim) == (2, 1024)
    get_backbone.cache_clear()
