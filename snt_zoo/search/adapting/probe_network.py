"""A linear probe with its backbone as one plain network.

The backbones that ship with the package are paths of `mobile` supernets (`snt_zoo.networks.starting`). So the
probe's network is such a supernet's derived model with the probe as its head: it is saved, loaded, used and
counted as any other, and its folder holds all its weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from snt_zoo.encoders.looking import Looks
from snt_zoo.encoders.probe import Probe
from snt_zoo.errors import UnknownComponentError
from snt_zoo.networks.bounds import derived_size
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.ensemble import Ensemble, members
from snt_zoo.networks.evaluate import Model
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.starting import STARTS, starting_supernet
from snt_zoo.networks.supernet import NetworkConfig, Supernet


def probe_network(probe: Probe) -> Model:
    """The backbone and the probe as one plain network, in eval mode on the CPU.

    Args:
        probe: on a backbone that ships with the package, at any size; several that answer together make an
            ensemble.

    Raises:
        UnknownComponentError: it is on another backbone.

    Example:
        >>> probe_network(fit_probe(data, sample(data))).config.input_size  # doctest: +SKIP
        96
    """
    if probe.others:
        count = len(probe.members)
        alone = [_network(each) for each in probe.members]
        return Ensemble(alone, torch.full((count,), 1 / count)).eval()
    return _network(probe)


def parts_of(*models: Model | Supernet) -> list[tuple[NetworkConfig, Genotype]]:
    """Configs and genotypes of networks, of an ensemble those of its members."""
    return [
        (one.config, one.genotype() if isinstance(one, Supernet) else one.genotype)
        for model in models
        for one in ([model] if isinstance(model, Supernet) else members(model))
    ]


def looks_parts(looks: Looks, num_classes: int) -> list[tuple[NetworkConfig, Genotype]]:
    """`parts_of` the network of probes on some backbones that answer together."""
    return parts_of(*(_start(look, num_classes) for look in looks))


def looks_size(looks: Looks, num_classes: int) -> tuple[int, int]:
    """Parameters and MACs of the network of probes on some backbones that answer together."""
    return _size(looks_parts(looks, num_classes))


def network_size(network: Model) -> tuple[int, int]:
    """Parameters and MACs, without building it again."""
    return _size(parts_of(network))


def _size(parts: Sequence[tuple[NetworkConfig, Genotype]]) -> tuple[int, int]:
    sizes = [derived_size(*part) for part in parts]
    return sum(params for params, _ in sizes), sum(macs for _, macs in sizes)


def _start(look: str, num_classes: int) -> DerivedModel:
    """A backbone as a network with a fresh head."""
    name, _, size = look.partition("@")
    if name not in STARTS:
        raise UnknownComponentError(
            f"only a probe on {' or '.join(STARTS)} can be made a network, not one on {look}: fit it on one "
            "of these"
        )
    start = starting_supernet(name, num_classes=num_classes, input_size=int(size) if size else None)
    return DerivedModel.inherit(start)


def _network(probe: Probe) -> DerivedModel:
    model = _start(probe.backbone, len(probe.bias))
    with torch.no_grad():
        model.head.weight.copy_(probe.weight)
        model.head.bias.copy_(probe.bias)
    return model.eval()
