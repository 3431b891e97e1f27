"""Bundles of a few dozen kilobytes with random weights, for benchmarks of the registry itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from snt_zoo.encoders.backbone import DEFAULT_BACKBONE
from snt_zoo.encoders.embedding import MOMENTS
from snt_zoo.encoders.projection import DIM, PROJECTION_ID
from snt_zoo.encoders.sketch import COVARIANCE_DIM, Sketch
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.registry import BundleConfig, describe, write_bundle

BACKBONE = f"{DEFAULT_BACKBONE}/{PROJECTION_ID}"  # of the predictor that ships, so that a query predicts
CLASSES = 2
_CENTRE, _APART, _TRACE = 0.09, 0.045, 0.2
"""Of the sketches of the starter zoo: coordinates of their centres and of their classes about these, and the
traces of covariances. Features are of about unit length, so what lies far lies so by its means."""


def supernet(seed: int) -> Supernet:
    """The smallest supernet that a bundle can hold."""
    config = NetworkConfig("nas_bench_201", {"channels": 1, "cells_per_stage": 1}, CLASSES, 8)
    net = Supernet.create(config, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for alpha in net.alphas.values():
            alpha.zero_()  # so that all have one genotype, and its MACs are counted once
    return net


def sketch(seed: int, *, name: str = "shapes", backbone: str = BACKBONE) -> Sketch:
    """A sketch of random features on the scale of real ones, as a reader of a file sees it."""
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(CLASSES, COVARIANCE_DIM, COVARIANCE_DIM, generator=generator)
    factors = factors / torch.arange(1, COVARIANCE_DIM + 1).sqrt()
    covariances = factors @ factors.mT
    traces = covariances.diagonal(dim1=1, dim2=2).sum(1)
    centre = _CENTRE * torch.randn(DIM, generator=generator)
    means = centre + _APART * torch.randn(CLASSES, DIM, generator=generator)
    labels = torch.arange(4) % CLASSES
    made = Sketch(
        name=name,
        backbone=backbone,
        class_names=tuple(f"class {i}" for i in range(CLASSES)),
        counts=torch.randint(1, 90, (CLASSES,), generator=generator),
        means=means,
        covariances=covariances * (_TRACE / traces)[:, None, None],
        samples=means[labels] + _APART * torch.randn(len(labels), DIM, generator=generator),
        sample_labels=labels,
    )
    return Sketch.from_tensors(made.to_tensors(), made.to_meta())


def write_tiny_bundle(
    folder: Path,
    *,
    seed: int,
    name: str,
    described: dict[str, Any] | None = None,
    sketched: Sketch | None = None,
    **changes: Any,
) -> Path:
    """Write a bundle.

    Args:
        folder: where to.
        seed: of its weights and its sketch.
        name: of the bundle.
        described: what `describe` gave for any `supernet`, whose alphas are all alike; to count MACs
            anew takes longer than everything else here.
        sketched: what it was trained on, in the place of a random sketch.
        changes: fields of the config.
    """
    net, made = supernet(seed), sketched or sketch(seed)
    source = {
        "name": made.name,
        "source": "sklearn:digits",
        "licence": "CC0-1.0",
        "licence_url": None,
        "classes": len(made.class_names),
        "train_images": int(made.counts.sum()),
        "fingerprint": "0123456789abcdef",
    }
    training = {
        "datasets": [source],
        "epochs": 0,
        "seconds": 0.0,
        "seed": seed,
        "code_version": "0.1.0",
        "torch_version": torch.__version__,
        "date": "2026-11-01T12:00:00Z",
        "recipe": {},
        "parent": None,
    }
    fields = {
        "name": name,
        "description": "Random weights.",
        "class_names": [f"class {i}" for i in range(CLASSES)],
        "metrics": {"val_accuracy": 0.5, "test_accuracy": None},
        "training": training,
        "licence": "Apache-2.0",
        "tags": ["tiny"],
        "backbone": BACKBONE,
        "encoder": MOMENTS.id,
    }
    config = BundleConfig.from_data({**(described or describe(net)), **fields, **changes})
    return write_bundle(folder, supernet=net, config=config, sketches=[made])
