"""The floor under a finetuned network: a linear probe on an ImageNet backbone, as a network of its own, and
the best head of a race.

The backbone that ships with the package is a MobileNetV2, and so is the path of a `mobile` supernet that
begins with it (`snt_zoo.starting`). So the probe's network is that supernet's derived model with the probe as
its head: it is saved, loaded, used and counted as any other, and its folder holds all its weights.

The probe costs a pass of the backbone over every image it looks at, so it begins with those that the
sketch has seen, and goes on to more only where it has a chance: `Floor`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE
from snt_zoo.encoders.probe import GrowingProbe, Probe
from snt_zoo.encoders.sketch import Drawn
from snt_zoo.errors import UnknownComponentError
from snt_zoo.search.constraints import Limits
from snt_zoo.search.derived import DerivedModel
from snt_zoo.search.device import resolve_device
from snt_zoo.search.evaluate import count_macs, count_parameters, evaluate
from snt_zoo.search.finetune import FinetuneResult
from snt_zoo.starting import starting_supernet

FLOOR_SHARE = 0.15
"""Of a budget in seconds: a probe that has taken so much of it looks at no more images."""

_MAX_VAL = 1000  # validation images that the probe is judged on


class Floor:
    """The probe in a run: fitted to the sketch's images first, to more once that can matter.

    A `snt_zoo.search.finetune.Rival`.

    Args:
        data: the target.
        drawn: what its sketch is made of.
        seconds: what the probe may take; None for any time, for runs that must repeat.
        seed: of the images that are drawn besides.
        timer: what counts seconds.
    """

    def __init__(
        self,
        data: ImageDataset,
        drawn: Drawn,
        *,
        seconds: float | None,
        seed: int = 0,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.growing = GrowingProbe(data, drawn, max_val=_MAX_VAL, seed=seed, timer=timer)
        self.seconds = seconds
        self.drawn = drawn
        self._probe: Probe | None = None

    @property
    def probe(self) -> Probe:
        """The best probe so far."""
        if self._probe is None:
            self(None)
        assert self._probe is not None
        return self._probe

    def __call__(self, reached: float | None) -> float | None:
        """Fit it, or fit it to more; see `Rival`."""
        first = self._probe is None
        if self._probe is None:
            self._probe = self.growing.fit(max_images=len(self.drawn.indices), seconds=self.seconds)
        # A network that is ahead while its training goes on is out of reach: docs/decisions.md, 51 and 61.
        if reached is None or self.growing.complete or self._probe.val_accuracy < reached:
            return self._probe.val_accuracy if first else None
        left = None if self.seconds is None else max(self.seconds - self._probe.seconds, 0.0)
        grown = self.growing.fit(seconds=left)
        if grown.val_accuracy >= self._probe.val_accuracy:
            self._probe = grown
        return self._probe.val_accuracy


def probe_network(probe: Probe) -> DerivedModel:
    """The backbone and the probe as one plain network, in eval mode on the CPU.

    Args:
        probe: on the backbone that ships with the package.

    Raises:
        UnknownComponentError: it is on another backbone.

    Example:
        >>> probe_network(fit_probe(data, draw(data))).config.input_size  # doctest: +SKIP
        96
    """
    if probe.backbone != DEFAULT_BACKBONE:
        raise UnknownComponentError(
            f"only a probe on {DEFAULT_BACKBONE} can be made a network, not one on {probe.backbone}: fit it "
            f"on {DEFAULT_BACKBONE}"
        )
    model = DerivedModel.inherit(starting_supernet(DEFAULT_BACKBONE, num_classes=len(probe.bias)))
    with torch.no_grad():
        model.head.weight.copy_(probe.weight)
        model.head.bias.copy_(probe.bias)
    return model.eval()


def with_floor(
    result: FinetuneResult,
    probe: Probe,
    data: ImageDataset,
    *,
    limits: Limits | None = None,
    device: str | torch.device = "auto",
) -> FinetuneResult:
    """What a run hands back, no worse on validation than what is there without a search.

    That is the probe's network, and of a race the best head that was fitted.

    Args:
        result: of the run.
        probe: fitted to the same data.
        data: that the network is measured on.
        limits: on the network; a probe that is too large for them is told of, and not handed back.
        device: where it is measured.

    Returns:
        The result with `probe`. If another network is handed back, `returned` is `"probe"` or `"head"`,
        `derived` is the result as it was, and a warning says how far the derived network came.
    """
    limits = limits or Limits()
    network = probe_network(probe)
    params, macs = count_parameters(network), count_macs(network)
    searched, reached, head = result, result.accuracy["val"], result.best_head
    result = replace(result, probe=probe.to_json() | {"params": params, "macs": macs})
    fits = params <= (limits.max_params or params) and macs <= (limits.max_macs or macs)
    if probe.val_accuracy > reached and not fits:
        told = (
            f"a linear probe on the ImageNet backbone is {_ahead(probe.val_accuracy, reached)}, but too "
            f"large for the limits ({params:,} parameters, {macs:,} MACs): it is not handed back"
        )
        result = replace(result, warnings=(*result.warnings, told))
    best_probe = probe.val_accuracy if fits else -1.0
    if head is not None and head.val_accuracy > reached and head.val_accuracy >= best_probe:
        ahead = f"a head fitted to {head.source} is {_ahead(head.val_accuracy, reached)}"
        handed = _handed_back(result, head.model, ahead, data, device)
        return replace(handed, returned="head", source=head.source, derived=searched)
    if best_probe > reached:
        ahead = f"a linear probe on the ImageNet backbone is {_ahead(best_probe, reached)}"
        handed = _handed_back(result, network, ahead, data, device)
        return replace(handed, returned="probe", derived=searched)
    return result


def _handed_back(
    result: FinetuneResult,
    model: DerivedModel,
    ahead: str,
    data: ImageDataset,
    device: str | torch.device,
) -> FinetuneResult:
    """The result with another network in place of the derived one."""
    params, macs = count_parameters(model), count_macs(model)
    model.placed(resolve_device(device))
    accuracy = {"val": evaluate(model, data.val), "test": evaluate(model, data.test)}
    told = (
        f"{ahead}: its network is handed back ({params:,} parameters, {macs:,} MACs). The derived network "
        f"({result.params:,} parameters, {result.macs:,} MACs) is kept beside it; to have that alone, switch "
        "the floor off or set a limit of size"
    )
    return replace(
        result,
        model=model.placed("cpu").eval(),
        genotype=model.genotype,
        accuracy=accuracy,
        params=params,
        macs=macs,
        warnings=(*result.warnings, told),
    )


def _ahead(accuracy: float, reached: float) -> str:
    return f"better on validation, {_percent(accuracy)} against {_percent(reached)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
