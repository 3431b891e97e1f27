"""Features of images, computed by a backbone once: the next query of the same images finds them kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from snt_zoo.data import ImageDataset, Rendering, Split
from snt_zoo.encoders.backbone import Backbone
from snt_zoo.formats.tensor_cache import key_of, recall, remember

OnProgress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""

_CHUNK = 128  # images that are read at once; a multiple of the backbone's batch


def silent(done: int, total: int) -> None:
    """Tells nobody."""


def features_of(
    backbone: Backbone,
    split: Split,
    rendering: Rendering,
    *,
    timer: Callable[[], float],
    on_progress: OnProgress = silent,
) -> tuple[Tensor, float]:
    """The features of some images, computed or as they were kept.

    Args:
        backbone: that sees them.
        split: the images.
        rendering: of their dataset.
        timer: what counts seconds.
        on_progress: called with the number of images that were seen.

    Returns:
        float32 ``n x dim``; and seconds that an image took when they were computed, reading included.
    """
    key = key_of("features", backbone.id, backbone.digest, repr(rendering), *split.digests())
    if (kept := recall(key)) is not None:
        return kept.tensors["features"], float(kept.texts["pace"])
    start = timer()
    parts = [torch.empty(0, backbone.dim)]
    for indices in torch.split(torch.arange(len(split)), _CHUNK):
        # Read, not kept: a whole split at the backbone's size would push the one that training needs out.
        parts.append(backbone.features(split.images.read(indices, backbone.size)))
        on_progress(int(indices[-1]) + 1, len(split))
    features = torch.cat(parts)
    pace = (timer() - start) / max(len(split), 1)
    remember(key, {"features": features}, {"pace": repr(pace)})
    return features, pace


def name_task(data: ImageDataset, train: Split, val: Split) -> str:
    """A key of all that a head or a probe is fitted to, and judged on, but for what gives the features.

    Args:
        data: whose rendering and number of classes count.
        train: images that it is fitted to.
        val: images that it is judged on.
    """
    parts = [part for split in (train, val) for part in (split.labels.numpy().tobytes(), *split.digests())]
    return key_of("task", repr(data.rendering), str(data.num_classes), str(len(train)), *parts)
