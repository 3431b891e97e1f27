"""A network as it is deployed: from pixels as they are decoded to probabilities, in one module.

What a runtime outside of Python would have to do otherwise, and would do differently, is inside: the resize
(`Resampling`), the normalisation, the pooling of an ensemble and the softmax.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.ensemble import Ensemble, members
from snt_zoo.networks.evaluate import Model, draft_of, input_sizes
from snt_zoo.networks.export.resampling import Resampling
from snt_zoo.networks.model_folder import LoadedModel
from snt_zoo.version import __version__

INPUT, OUTPUT = "image", "probabilities"
"""What the input and the output are called: uint8 ``batch x height x width x 3``; float32 ``batch x K``."""


class Core(nn.Module):
    """What follows the resize: normalisation, networks, pooling, softmax.

    Args:
        model: what a run handed back, in eval mode on the CPU.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.sizes = tuple(dict.fromkeys(input_sizes(model)))
        for place, network in enumerate(members(model)):
            # Buffers of its own: `Normalisation` keeps its constants, which a trace must not touch.
            for name in ("mean", "std"):
                values = torch.tensor(getattr(network.config.normalisation, name)).view(1, 3, 1, 1)
                self.register_buffer(f"{name}_{place}", values)

    def forward(self, *pixels: Tensor) -> Tensor:
        """For each of `sizes` float32 ``batch x 3 x size x size``, from 0 to 255, to ``batch x K``."""
        of = dict(zip(self.sizes, pixels, strict=True))
        logits = [
            self.answer(
                network,
                (of[network.config.input_size] / 255.0 - self._buffer("mean", i)) / self._buffer("std", i),
            )
            for i, network in enumerate(members(self.model))
        ]
        pooled = self.model.pooled(logits) if isinstance(self.model, Ensemble) else logits[0]
        return pooled.softmax(1)

    def answer(self, network: DerivedModel, x: Tensor) -> Tensor:
        """Logits of a network."""
        out: Tensor = network(x)
        return out

    def _buffer(self, name: str, place: int) -> Tensor:
        return self.get_buffer(f"{name}_{place}")


class Resized(nn.Module):
    """The same images in each size that a network wants.

    Args:
        sizes: in pixels a side.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.each = nn.ModuleList(map(Resampling, sizes))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """uint8 ``batch x h x w x 3`` to float32 ``batch x 3 x size x size`` for each size."""
        return tuple(resample(image) for resample in self.each)


class Deployed(nn.Module):
    """The whole.

    Args:
        model: as of `Core`.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.core = Core(model)
        self.resized = Resized(self.core.sizes)

    def forward(self, image: Tensor) -> Tensor:
        """uint8 ``batch x h x w x 3`` to probabilities ``batch x K``."""
        out: Tensor = self.core(*self.resized(image))
        return out


def description(loaded: LoadedModel, **more: Any) -> dict[str, str]:
    """What an exported file says of itself: texts, of which those that are not plain are JSON.

    Args:
        loaded: what is exported.
        more: further entries.
    """
    said: Mapping[str, Any] = {
        "format": "snt-zoo exported model 1",
        "class_names": list(loaded.class_names),
        "licences": loaded.licences,
        "accuracy": loaded.accuracy,
        "source": loaded.source,
        "data": loaded.trained_on.fingerprint,
        "rendering": loaded.trained_on.rendering.to_json(),
        # A JPEG was read at no more than it takes, in training as well: `Image.draft` of Pillow.
        "jpeg_draft": draft_of(loaded.model),
        "input": "uint8 RGB, batch x height x width x 3, upright, any size",
        "networks": [
            {"network": each.config.to_json(), "genotype": each.genotype.to_json()}
            for each in members(loaded.model)
        ],
        "snt_zoo_version": __version__,
        **more,
    }
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in said.items()
    }
