"""Fresh weights, drawn from a generator that is passed in and from nothing else."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def initialise(network: nn.Module, *, generator: torch.Generator) -> None:
    """Set every parameter and buffer of a network on the CPU.

    Convolutions: He et al. 2015 (fan-out, as torchvision does); linear layers: uniform in ±1/√fan-in;
    batch norms: the identity. Alphas: 10⁻³ times a standard normal (Liu et al. 2019, their code).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            # A stack of the convolutions of several edges is drawn as each of them would be.
            copies = int(getattr(module, "copies", 1))
            fan_out = module.weight.shape[0] // copies * module.weight[0, 0].numel()
            module.weight.normal_(0.0, (2 / fan_out) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            module.weight.uniform_(-bound, bound, generator=generator)
            module.bias.zero_()
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.ParameterDict):
            for alpha in module.values():
                alpha.normal_(0.0, 1e-3, generator=generator)


def materialise(network: nn.Module) -> None:
    """Put tensors of the CPU, whose content is any, in the place of those of a network on the meta device.

    As `to_empty` does, which imports sympy for it: half a second of every new process.
    """
    state = {name: torch.empty(like.shape, dtype=like.dtype) for name, like in network.state_dict().items()}
    network.load_state_dict(state, assign=True)
