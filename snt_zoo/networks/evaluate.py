"""Accuracy, predictions, features, size and cost of a network."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from snt_zoo.data import Rendering, Split, batches, decode_image
from snt_zoo.data.decoding import draft_side
from snt_zoo.errors import DivergenceError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.device import mixed_precision
from snt_zoo.networks.ensemble import Ensemble
from snt_zoo.networks.heads import own_logits, statistics_kept
from snt_zoo.networks.memory import fitting
from snt_zoo.networks.supernet import IN_CHANNELS, NetworkConfig, Supernet

Network = Supernet | DerivedModel
Model = DerivedModel | Ensemble
"""What a run hands back."""
EVALUATION_BATCH = 256

NORM_IMAGES = 256
"""Training images on which batch norms are measured. More gained nothing: docs/decisions.md, 54."""


def evaluation_batch(network: Network) -> int:
    """Images that go through a network at once where no gradients are kept.

    On a CPU fewer of larger images: what does not fit into the cache is slow, and allocations of tens of
    megabytes are given back to the system each time (MobileNetV2 at 64 pixels: 2.8 ms an image in batches of
    256, 1.2 ms in batches of 32).
    """
    if next(network.parameters()).device.type != "cpu":
        return EVALUATION_BATCH
    config = network.config
    pixels = config.build_space().pixels_at_once
    return max(8, min(EVALUATION_BATCH, pixels // config.input_size**2))


@contextlib.contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients; the mode before comes back."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)


def network_batches(
    network: Network, split: Split, batch_size: int = EVALUATION_BATCH
) -> Iterator[tuple[Tensor, Tensor]]:
    """A split as the network wants it, in order: normalised images and labels on its device."""
    return batches(
        split,
        size=network.config.input_size,
        batch_size=batch_size,
        normalisation=network.config.normalisation,
        device=next(network.parameters()).device,
    )


def evaluate(
    network: Network | Ensemble, split: Split, *, mixture: Mapping[str, Tensor] | None = None
) -> float:
    """Share of the split's images, from 0 to 1, whose largest logit is at their label.

    Of a network with several heads the largest within the head of the label.

    Args:
        network: a derived model, an ensemble, or a supernet, which is run along the path of its genotype.
        split: labelled images.
        mixture: run a supernet with all its operations mixed by these weights instead.

    Example:
        >>> from snt_zoo import open_dataset
        >>> evaluate(model, open_dataset("sklearn:digits").test)  # doctest: +SKIP
        0.98
    """
    if isinstance(network, Ensemble):
        return evaluate_together(network, split, {})
    device = next(network.parameters()).device

    def count(batch_size: int) -> int:
        correct = torch.zeros((), device=device, dtype=torch.int64)
        options = {} if mixture is None else {"mixture": mixture}
        for images, labels in network_batches(network, split, batch_size):
            answers = own_logits(network(images, **options), labels, network.config.heads)
            correct += (answers.argmax(1) == labels).sum()
        return int(correct)

    with evaluation_mode(network), mixed_precision(device):
        return fitting(count, evaluation_batch(network), device) / max(len(split), 1)


def evaluate_together(network: Ensemble, split: Split, known: Mapping[nn.Module, Tensor]) -> float:
    """`evaluate` of an ensemble, where the `logits` of some members on the split are known already."""
    said = [known[one] if one in known else logits(one, split) for one in network.networks]
    return accuracy(network.pooled([each.to(network.weights) for each in said]).cpu(), split.labels)


def evaluate_heads(
    network: Network,
    splits: Sequence[Split],
    measured_on: Sequence[Split],
    *,
    mixture: Mapping[str, Tensor] | None = None,
) -> list[float]:
    """The accuracy of each head, with batch norms measured on some images of its own dataset.

    So a transfer begins, and so the weights were trained: by batches of one dataset. The statistics
    that the network came with are left in it.

    Args:
        network: as of `evaluate`.
        splits: labelled images for each head, as `split_by_head` gives them.
        measured_on: training images for each head.
        mixture: as of `evaluate`.

    Returns:
        One for each head; NaN where there is no image for it.
    """
    found = []
    for part, train in zip(splits, measured_on, strict=True):
        if not len(part):
            found.append(float("nan"))
            continue
        with statistics_kept(network):
            recalibrate(network, train, mixture=mixture)
            found.append(evaluate(network, part, mixture=mixture))
    return found


def mean_over_heads(accuracies: Sequence[float]) -> float:
    """Their mean, in which every dataset counts alike; those that had no image are left out."""
    there = [accuracy for accuracy in accuracies if not math.isnan(accuracy)]
    return sum(there) / max(len(there), 1)


def features(network: Network, split: Split) -> tuple[Tensor, Tensor]:
    """Features ``n x feature_dim`` and labels ``n`` of a split, on the CPU."""
    return _collected(network, split, network.features), split.labels


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of ``n x num_classes`` logits, from 0 to 1, whose largest is at the label; both on the CPU."""
    return int((logits.argmax(1) == labels).sum()) / max(len(labels), 1)


def logits(network: Network, split: Split) -> Tensor:
    """Logits ``n x num_classes`` of a split in order, float32 on the CPU."""
    return _collected(network, split, network)


def _collected(network: Network, split: Split, function: Callable[[Tensor], Tensor]) -> Tensor:
    device = next(network.parameters()).device

    def collect(batch_size: int) -> list[Tensor]:
        return [function(images).float() for images, _ in network_batches(network, split, batch_size)]

    with evaluation_mode(network), mixed_precision(device):
        return torch.cat(fitting(collect, evaluation_batch(network), device)).cpu()


def input_sizes(network: Network | Ensemble) -> tuple[int, ...]:
    """Side in pixels of the images that a network takes; of an ensemble that of each member."""
    members = network.networks if isinstance(network, Ensemble) else (network,)
    return tuple(member.config.input_size for member in members)


def draft_of(network: Network | Ensemble) -> int:
    """Pixels a side at which a JPEG is decoded for a network; of an ensemble for its largest member."""
    return draft_side(max(input_sizes(network)))


def decode_for(
    network: Network | Ensemble, source: str | os.PathLike[str] | bytes, *, rendering: Rendering
) -> list[Tensor]:
    """An image for `predict`: uint8 ``1 x 3 x size x size`` in each of the `input_sizes`.

    Args:
        network: that is asked.
        source: a path, or the encoded bytes.
        rendering: that of the network (`LoadedModel.trained_on`).

    Raises:
        OversizedImageError, UnreadableImageError: as `decode_image`.
    """
    draft = draft_of(network)
    return [
        decode_image(source, size=size, draft=draft, rendering=rendering)[None]
        for size in input_sizes(network)
    ]


def predict(network: Network | Ensemble, *images: Tensor) -> Tensor:
    """Probabilities of the classes.

    Args:
        network: a supernet, a derived model or an ensemble.
        images: uint8, ``batch x 3 x size x size``, in each of the `input_sizes` of the network; or, for an
            ensemble, once in any size.

    Returns:
        ``batch x num_classes``, float32, rows sum to 1.

    Raises:
        ValueError: there are images of too many sizes, or none.
        DivergenceError: its weights overflow.
    """
    sizes = input_sizes(network)
    if len(images) not in (1, len(sizes)):
        raise ValueError(
            f"expected images in each of the sizes {sizes} that it takes, got {len(images)} batches"
        )
    device = next(network.parameters()).device
    with evaluation_mode(network):
        pixels = [part.to(device) for part in images]
        if not isinstance(network, Ensemble):
            answers = network(network.config.normalisation(pixels[0]))
        elif len(pixels) == 1:
            answers = network(*pixels)
        else:
            pairs = zip(network.networks, pixels, strict=True)
            answers = network.pooled([member(member.config.normalisation(x)) for member, x in pairs])
        out: Tensor = answers.softmax(1).cpu()
    if not bool(out.isfinite().all()):
        raise DivergenceError(
            "the network's answers are not numbers: its weights overflow; train it again, or take another"
        )
    return out


def count_parameters(network: Network | Ensemble) -> int:
    """Number of weights, alphas not counted."""
    if isinstance(network, Ensemble):
        return sum(map(count_parameters, network.networks))
    return sum(p.numel() for p in (*network.trunk.parameters(), *network.head.parameters()))


def count_macs(network: Network | Ensemble) -> int:
    """Multiply-accumulates of one image through convolutions and the head (half of the FLOPs).

    Of a supernet those of all its operations, of an ensemble those of all its members.
    """
    from torch.utils.flop_counter import FlopCounterMode  # here, as it imports triton

    if isinstance(network, Ensemble):
        return sum(map(count_macs, network.networks))
    config: NetworkConfig = network.config
    with torch.device("meta"):
        image = torch.empty(1, IN_CHANNELS, config.input_size, config.input_size)
        if isinstance(network, Supernet):
            supernet = Supernet(config).eval().requires_grad_(False)
            forward = functools.partial(supernet, mixture=supernet.mixture())
        else:
            forward = functools.partial(DerivedModel(config, network.genotype).eval())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward(image)
    return int(counter.get_total_flops()) // 2


@torch.no_grad()
def recalibrate(
    network: Network,
    split: Split,
    *,
    max_images: int = NORM_IMAGES,
    mixture: Mapping[str, Tensor] | None = None,
) -> None:
    """Measure the batch-norm statistics anew on a split's images, without changing a weight.

    A derived network inherits statistics that were measured on many paths, and a transferred one those
    of its source; both are wrong until they are measured again. Of a supernet only the norms on the path
    of its genotype are measured.

    Args:
        network: changed in place.
        split: training images.
        max_images: at most so many are used, evenly spaced.
        mixture: measure all operations of a supernet, mixed by these weights.
    """
    options = {} if mixture is None else {"mixture": mixture}
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    training = network.training
    device = next(network.parameters()).device
    part = split.thinned(max_images)

    def measure(batch_size: int) -> None:
        for index, (images, _) in enumerate(network_batches(network, part, batch_size)):
            for norm in norms:
                norm.momentum = 1 / (index + 1)  # a plain average over the batches
            if len(images) > 1:
                network(images, **options)

    network.train()
    try:
        with mixed_precision(device):
            fitting(measure, evaluation_batch(network), device)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.train(training)
