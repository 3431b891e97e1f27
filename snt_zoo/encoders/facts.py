"""Facts of a dataset from its sketch: how many classes and images, and how far apart its classes lie.

They say how hard a task is, which is most of what an accuracy depends on; which network is better than which
they do not say. Trivial facts are a strong baseline where one pipeline is to be chosen (ZAP, Öztürk et al.
2022, arXiv 2206.08476).
"""

from __future__ import annotations

import torch
from torch import Tensor

from snt_zoo.encoders.sketch import MAX_IMAGES, Sketch
from snt_zoo.encoders.transport.class_level import squared_distances

FACTS = ("log classes", "log images of a class", "nearest mean", "spread", "margin")


def facts(sketch: Sketch) -> Tensor:
    """The facts, float64 ``len(FACTS)``, in the order of `FACTS`; independent of the order of classes.

    `nearest mean` is the logit of the share of the sampled features that lie nearest to the mean of their own
    class, where each is left out of that mean; `spread` the log of the variance within classes over that of
    the means; `margin` the log of the mean distance to the nearest other class over the spread.
    """
    k = len(sketch.class_names)
    quota = max(2, MAX_IMAGES // k)
    images = sketch.counts.clamp(max=quota).double().mean()
    means = sketch.means.double()
    within = sketch.traces.mean() * 2  # covariances are of half of the dimensions
    centre = (sketch.frequencies[:, None] * means).sum(0)
    between = (sketch.frequencies * (means - centre).square().sum(1)).sum()
    apart = squared_distances(means, means)
    apart.fill_diagonal_(torch.inf)
    nearest = apart.min(1).values.mean() if k > 1 else torch.tensor(1.0)
    return torch.stack(
        [
            torch.tensor(float(k)).log().double(),
            images.log(),
            _nearest_mean(sketch),
            (within / between.clamp_min(1e-6)).clamp(1e-3, 1e3).log(),
            (nearest.double() / within.clamp_min(1e-6)).clamp(1e-3, 1e3).log(),
        ]
    )


def _nearest_mean(sketch: Sketch) -> Tensor:
    """See `facts`; of a sketch without samples as if half were nearest."""
    x, labels = sketch.samples.double(), sketch.sample_labels
    if not len(x):
        return torch.zeros((), dtype=torch.float64)
    counts = sketch.counts.clamp(max=max(2, MAX_IMAGES // len(sketch.counts))).double()[labels]
    costs = squared_distances(x, sketch.means.double())
    own = sketch.means.double()[labels]
    left_out = (counts[:, None] * own - x) / (counts[:, None] - 1).clamp_min(1)
    costs[torch.arange(len(x)), labels] = (x - left_out).square().sum(1)
    right = (costs.argmin(1) == labels).double().sum()
    share = (right + 1) / (len(x) + 2)
    return (share / (1 - share)).log()
