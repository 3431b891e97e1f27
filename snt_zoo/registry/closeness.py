"""Whether any supernet is close to a dataset: measured on it, not read off the distance.

The distance of the nearest one does not tell (docs/decisions.md, 52). What can be asked in a second is how
the nearest ones stand as they are: a head is fitted to each, on the images that the sketch has seen, and
compared with a linear probe on the backbone, which has seen the same.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from snt_zoo.data import Split
from snt_zoo.encoders.kept_features import OnProgress, name_task, silent
from snt_zoo.encoders.probe import Probe
from snt_zoo.encoders.target import Target
from snt_zoo.errors import DivergenceError, NotInRegistryError, leaving_out
from snt_zoo.formats.tensor_cache import key_of, recall, remember
from snt_zoo.networks.head import begin_on, quick_norms
from snt_zoo.registry.registry import Registry
from snt_zoo.registry.retrieval import Match

NEAREST = 3
"""Matches to which a head is fitted, at a fifth of a second each (a large one takes longer)."""

_DIVERGED = "diverged"  # kept in the place of an accuracy


def with_heads(
    matches: Sequence[Match],
    registry: Registry,
    target: Target,
    *,
    max_val: int,
    on_progress: OnProgress = silent,
) -> tuple[Match, ...]:
    """The matches; the nearest of those that are on this machine with the accuracy of a new head.

    One whose weights overflow is marked as diverged; the others are measured all the same. What was measured
    on the same images before is not measured again.

    Args:
        matches: nearest first.
        registry: that has them.
        target: with its images; the heads are fitted to those that its sketch is made of.
        max_val: most validation images that are asked, evenly spaced.
        on_progress: called with the number of heads that were fitted.
    """
    data, sample = target.data, target.sample
    assert data is not None and sample is not None
    train, val = data.train.subset(sample.indices), data.val.thinned(max_val)
    task = name_task(data, train, val)
    here = [match for match in matches if not match.remote][:NEAREST]
    found: dict[str, Match] = {}
    for done, match in enumerate(here, 1):
        found[match.id] = _measured(match, registry, train, val, data.num_classes, task)
        on_progress(done, len(here))
    return tuple(match if match.remote else found.get(match.id, match) for match in matches)


def _measured(
    match: Match, registry: Registry, train: Split, val: Split, num_classes: int, task: str
) -> Match:
    """A match with the accuracy of a new head; `task` is of `name_task`."""
    source = None
    with leaving_out(match.id), contextlib.suppress(NotInRegistryError):  # removed since it was found
        key = key_of("head", registry.show(match.id).digest, task)
        if (kept := recall(key)) is not None:
            return _with(match, kept.texts["accuracy"])
        source = registry.get(match.id).supernet
    if source is None:
        return match
    network = source.with_head(num_classes, generator=torch.Generator().manual_seed(0))
    try:
        accuracy = repr(begin_on(network, train, val, norms=quick_norms(network)).accuracy)
    except DivergenceError:
        accuracy = _DIVERGED
    remember(key, {}, {"accuracy": accuracy})
    return _with(match, accuracy)


def _with(match: Match, accuracy: str) -> Match:
    if accuracy == _DIVERGED:
        return replace(match, diverged=True)
    return replace(match, head_accuracy=float(accuracy))


def any_close(matches: Sequence[Match], probe: Probe, *, images: int) -> bool | None:
    """Whether a new head of one of the matches is as good as the probe, or at most a standard error behind.

    Args:
        matches: of `with_heads`.
        probe: on the same images.
        images: validation images that were asked.

    Returns:
        None if no head was fitted.
    """
    heads = [match.head_accuracy for match in matches if match.head_accuracy is not None]
    if not heads:
        return None
    error = math.sqrt(probe.val_accuracy * (1 - probe.val_accuracy) / max(images, 1))
    return max(heads) >= probe.val_accuracy - error
