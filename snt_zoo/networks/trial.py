"""A trial pass: whether a network whose weights are all finite computes numbers.

A weight of 3e38 is finite, and what is computed with it is not. Such a network is a file that passes every
check of its tensors and then spoils whatever uses it. So a network from somebody else is run once, on fixed
images, before it is taken in. The cost is bounded whatever the network is: every weight is used at most
once for each pixel, so the side of the images follows from the number of weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snt_zoo.errors import NonFiniteError
from snt_zoo.networks import kernels
from snt_zoo.networks.ensemble import Ensemble
from snt_zoo.networks.evaluate import Network, count_parameters, evaluation_mode
from snt_zoo.networks.heads import statistics_kept
from snt_zoo.networks.supernet import IN_CHANNELS, Supernet

_IMAGES = 4  # black, white, and noise
_MULTIPLICATIONS = 2e10  # at most, which is a second or two on one core
_LEAST_SIDE, _MOST_SIDE = 8, 64  # pixels; so that memory is bounded too


def check_forward(network: Network | Ensemble, *, what: str) -> None:
    """Run a network on fixed images, and refuse it if what comes out are not numbers.

    Of a supernet the path of its genotype is run as it is, and all its operations with batch norms measured
    on the images, as a search does; its statistics stay as they were.

    Args:
        network: on the CPU.
        what: its file, for the message.

    Raises:
        NonFiniteError: an output is NaN or infinite.
    """
    members = network.networks if isinstance(network, Ensemble) else [network]
    with evaluation_mode(network), kernels.without():  # which would take longer to compile
        outputs = [member(_pixels(member)) for member in members]
        if isinstance(network, Ensemble):
            outputs.append(network.pooled(outputs))
        if isinstance(network, Supernet):
            with statistics_kept(network):
                network.train()
                outputs.append(network(_pixels(network), mixture=network.mixture()))
    if not all(bool(output.isfinite().all()) for output in outputs):
        raise NonFiniteError(
            f"{what}: the weights are finite, but they overflow, and no numbers come out of the network: "
            "the training diverged, or the file was made to spoil whatever uses it; do not use it"
        )


def _pixels(network: Network) -> Tensor:
    """Images as the network wants them, ``4 x 3 x side x side``, the same every time."""
    affordable = int((_MULTIPLICATIONS / _IMAGES / max(count_parameters(network), 1)) ** 0.5)
    side = min(network.config.input_size, _MOST_SIDE, max(affordable, _LEAST_SIDE))
    shape = (_IMAGES, IN_CHANNELS, side, side)
    images = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images[0], images[1] = 0, 255
    return network.config.normalisation(images)
