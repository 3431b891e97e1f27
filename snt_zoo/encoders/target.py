"""The dataset that is asked about: its images, where they are at hand, and its sketch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE
from snt_zoo.encoders.kept_features import OnProgress, silent
from snt_zoo.encoders.sketch import Sample, Sketch, sketch


@dataclass(frozen=True, eq=False)
class Target:
    """What a query is about; get one with `Target.of`.

    Args:
        sketch: of the dataset.
        data: its images, for what looks at them; None where a sketch is all that was given.
        sample: the images that the sketch is made of, as the backbone sees them; None likewise.
    """

    sketch: Sketch
    data: ImageDataset | None = None
    sample: Sample | None = None

    @classmethod
    def of(
        cls,
        given: ImageDataset | Sketch | Target,
        backbone: str = DEFAULT_BACKBONE,
        *,
        timer: Callable[[], float] = time.perf_counter,
        on_progress: OnProgress = silent,
    ) -> Target:
        """A dataset, which is sketched, or a sketch or a target as it is.

        Args:
            given: labelled images, their sketch, or what this made of them.
            backbone: makes the sketch.
            timer: as of `Sample.of`.
            on_progress: likewise.
        """
        if isinstance(given, Target):
            return given
        if isinstance(given, Sketch):
            return cls(given)
        sample = Sample.of(given, backbone, timer=timer, on_progress=on_progress)
        return cls(sketch(given, sample=sample), given, sample)
