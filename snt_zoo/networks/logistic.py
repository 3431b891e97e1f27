"""Multinomial logistic regression on frozen features, by scikit-learn: heads and probes are fitted by it."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from snt_zoo.errors import DivergenceError

_UNSEEN = -50.0  # the bias of a class without a training image: finite, and never the largest


class LogisticRegressions:
    """Logistic regressions on the same features, each begun where the one before ended.

    Args:
        x: features, float32 ``n x d`` on the CPU; standardised inside.
        labels: int64 ``n``.
        num_classes: K; some may have no image.
        iterations: of L-BFGS, at most, for each.
        tolerance: largest gradient at which one ends.

    Raises:
        DivergenceError: a feature is no number, or too large to be standardised.
    """

    def __init__(
        self, x: Tensor, labels: Tensor, num_classes: int, *, iterations: int, tolerance: float
    ) -> None:
        from sklearn.linear_model import LogisticRegression

        self.mean, self.std = x.mean(0), x.std(0, correction=0).clamp_min(1e-4)
        z = (x - self.mean) / self.std
        if not bool(z.isfinite().all()):
            raise DivergenceError(
                "the features that a head is fitted to are not numbers: the weights of the network overflow; "
                "take another supernet"
            )
        self.z = z.numpy()
        self.labels = labels.numpy()
        self.num_classes = num_classes
        self.seen = torch.unique(labels)
        self.model: Any = LogisticRegression(max_iter=iterations, tol=tolerance, warm_start=True)

    def fit(self, l2: float) -> tuple[Tensor, Tensor]:
        """The most likely weights under a penalty.

        Args:
            l2: on half the squared weights of the standardised features, for a mean (not summed) loss.

        Returns:
            Weight ``K x d`` and bias ``K`` for the features as they came, float32.
        """
        weight = torch.zeros(self.num_classes, self.z.shape[1])
        bias = torch.full((self.num_classes,), _UNSEEN)
        rows, intercepts = self._rows(l2)
        scaled = rows / self.std
        weight[self.seen] = scaled
        bias[self.seen] = intercepts - scaled @ self.mean
        return weight, bias

    def _rows(self, l2: float) -> tuple[Tensor, Tensor]:
        """Weights and biases of the classes that have images, for standardised features."""
        from sklearn.exceptions import ConvergenceWarning

        classes = len(self.seen)
        if classes == 1:
            return torch.zeros(1, self.z.shape[1]), torch.zeros(1)
        # Of two classes scikit-learn has one row: their difference, whose square is twice that of both.
        strength = l2 / 2 if classes == 2 else l2
        # Vectors as short as these are slower on many threads: docs/decisions.md, 67.
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model.set_params(C=1 / (strength * len(self.z))).fit(self.z, self.labels)
        rows = torch.from_numpy(self.model.coef_).float()
        intercepts = torch.from_numpy(self.model.intercept_).float()
        if classes == 2:
            return torch.cat([-rows, rows]) / 2, torch.cat([-intercepts, intercepts]) / 2
        return rows, intercepts
