"""Logistic regression on the features of a frozen network: a rival, and where the others begin."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from benchmarks.photographs_images import centre, listed, read, squash
from benchmarks.photographs_networks import cost, load, through
from benchmarks.photographs_plan import Probe

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Values of scikit-learn's C, on standardised features."""
ITERATIONS = 300


def fit_head(train: Tensor, labels: Tensor, val: Tensor, val_labels: Tensor) -> tuple[nn.Linear, float]:
    """A linear layer for features as they come, and the C that validation chose.

    Of values with equal accuracy on validation the one with the smaller loss: validation parts are small.

    Args:
        train: features, ``n x dim``.
        labels: ``n``.
        val: features, ``m x dim``.
        val_labels: ``m``.
    """
    scaler = StandardScaler().fit(train.numpy())
    x, y = scaler.transform(train.numpy()), labels.numpy()
    mean = torch.from_numpy(scaler.mean_).float()
    scale = torch.from_numpy(scaler.scale_).float()
    best: tuple[tuple[float, float], nn.Linear, float] | None = None
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(x, y)
        head = _layer(found, mean, scale)
        logits = head(val).detach()
        accuracy = float((logits.argmax(1) == val_labels).float().mean())
        merit = accuracy, -float(nn.functional.cross_entropy(logits, val_labels))
        if best is None or merit > best[0]:
            best = merit, head, strength
    assert best is not None
    return best[1], best[2]


def _layer(found: LogisticRegression, mean: Tensor, scale: Tensor) -> nn.Linear:
    """A fitted regression on features as they come; of two classes scikit-learn has a single row."""
    weight = torch.from_numpy(found.coef_).float()
    bias = torch.from_numpy(found.intercept_).float()
    if len(found.classes_) == 2:
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    weight = weight / scale
    head = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias - weight @ mean)
    return head


def run_probe(arm: Probe, folder: Path, backbones: Path) -> dict[str, Any]:
    """A probe, from files to test accuracy."""
    began = time.perf_counter()
    files = listed(folder)
    view = centre(arm.size) if arm.crop else squash(arm.size)
    network = load(arm.network, backbones)
    features = {split: through(network, torch.stack(read(of.paths, view))) for split, of in files.items()}
    read_in = time.perf_counter() - began
    head, strength = fit_head(features["train"], files["train"].labels, features["val"], files["val"].labels)
    accuracy = {split: share_right(head(features[split]), files[split].labels) for split in ("val", "test")}
    return {
        **accuracy,
        "seconds": round(time.perf_counter() - began, 2),
        "feature_seconds": round(read_in, 2),
        "strength": strength,
        **cost(nn.Sequential(network, head), arm.size),
    }


def share_right(logits: Tensor, labels: Tensor) -> float:
    """Accuracy, from 0 to 1."""
    return round(float((logits.argmax(1) == labels).float().mean()), 4)
