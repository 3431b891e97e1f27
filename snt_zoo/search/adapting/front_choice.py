"""Which networks of a supernet are trained for a front.

Networks of all sizes inherit its weights, so dozens of them are compared without training one (`compared`),
and a few of all sizes share the budget (`chosen`).

They are judged by the head of the supernet's own path, and not by heads of their own: of a set on which
networks differ much after training that tells more of it (rank correlation 0.74 against 0.41); of one on
which they do not, neither does (`python -m benchmarks.inherited`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snt_zoo.data import ImageDataset
from snt_zoo.networks.bounds import derived_size
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import evaluate, recalibrate
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.spread import spread
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.adapting.published import SIZES, SMALL
from snt_zoo.search.run import Run

COMPARED = 24
"""Networks that are compared, at most."""
COMPARE_SHARE = 0.15
"""Of what is left of a budget in seconds, for comparing them; four are compared at least."""
POINTS = 6
"""Networks that are trained, at most."""
FIRST = 2
"""How many times its share the first network has that is trained (`python -m benchmarks.inherited`)."""
_IMAGES = 512
"""Validation images that they are compared on, at most."""


Sized = tuple[Genotype, int]
"""A genotype, and the side of the images in pixels."""


@dataclass(frozen=True)
class Compared:
    """A network with inherited weights.

    Args:
        genotype: that it has.
        input_size: side of its images, in pixels.
        macs: multiply-accumulates for one image.
        accuracy: on validation, with measured norms and the supernet's head.
    """

    genotype: Genotype
    input_size: int
    macs: int
    accuracy: float


def compared(candidate: Candidate, supernet: Supernet, data: ImageDataset, run: Run) -> list[Compared]:
    """Networks of all sizes with inherited weights, by their multiply-accumulates.

    A published network knows one path alone, but at any size of its images: so of that they are.

    Args:
        candidate: whose recipe says whether it is one.
        supernet: with a head for the task.
        data: the task.
        run: keeps time; the seed decides which networks.
    """
    config, val = supernet.config, data.val.thinned(_IMAGES)
    if candidate.recipe.keep_norms:
        own = supernet.genotype()
        sizes = sorted(size for size in SIZES + SMALL if size <= config.input_size)
        networks = [(own, size) for size in sizes]
    else:
        networks = [(genotype, config.input_size) for genotype in spread(supernet, COMPARED, seed=run.seed)]
    end = run.seconds() + COMPARE_SHARE * run.left()
    found: list[Compared] = []
    for genotype, size in _ends_first(networks):
        if len(found) >= 4 and run.seconds() >= end:
            break
        network = DerivedModel.inherit(supernet, genotype).at(size)
        accuracy = evaluate(network, val) if supernet.space.may_be_pretrained else 0.0
        recalibrate(network, data.train)
        accuracy = max(accuracy, evaluate(network, val))
        found.append(Compared(genotype, size, derived_size(network.config, genotype)[1], accuracy))
    return sorted(found, key=lambda each: each.macs)


def _ends_first(networks: Sequence[Sized]) -> Iterator[Sized]:
    """The smallest and the largest, then what halves the gaps: wherever it ends, all sizes were seen."""
    last = len(networks) - 1
    order = dict.fromkeys([0, last])
    step = last
    while step > 1:
        step = -(-step // 2)
        order |= dict.fromkeys(range(0, last + 1, step))
    order |= dict.fromkeys(range(last + 1))
    for index in order:
        yield networks[index]


def chosen(networks: Sequence[Compared], *, points: int = POINTS) -> list[Compared]:
    """Those that are trained: in each band of a logarithmic scale of sizes the most accurate.

    A short budget leaves none out: each begins with what those before it learned, and with a head of its own.

    Args:
        networks: at least one, by multiply-accumulates.
        points: of them, at most.

    Returns:
        At least one, by multiply-accumulates.
    """
    low, high = (math.log(each.macs) for each in (networks[0], networks[-1]))
    bands: dict[int, Compared] = {}
    for each in networks:
        place = (math.log(each.macs) - low) / max(high - low, 1e-9)
        band = min(int(points * place), points - 1)
        if band not in bands or each.accuracy > bands[band].accuracy:
            bands[band] = each
    return [bands[band] for band in sorted(bands)]


def outwards(count: int) -> list[int]:
    """The order of training, for places by size: the one in the middle, then those beside it."""
    middle = (count - 1) / 2
    return sorted(range(count), key=lambda index: (abs(index - middle), index))


def shares_of(macs: Sequence[int]) -> list[float]:
    """How several networks, by size, share a time: by the roots of their multiply-accumulates; they sum to 1.

    A large network gets more of the time, and a small one more passes over the images. The first that is
    trained has `FIRST` times as much, since the others take over what it learned.
    """
    first = outwards(len(macs))[0]
    parts = [math.sqrt(each) * (FIRST if index == first else 1) for index, each in enumerate(macs)]
    return [part / sum(parts) for part in parts]
