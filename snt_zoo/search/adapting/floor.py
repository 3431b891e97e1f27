"""The floor under a finetuned network: a linear probe on an ImageNet backbone, as a network of its own, and
the best head of a race; and the probe and the finetuned network together.

The backbone that ships with the package is a MobileNetV2, and so is the path of a `mobile` supernet that
begins with it (`snt_zoo.networks.starting`). So the probe's network is that supernet's derived model with the
probe as its head: it is saved, loaded, used and counted as any other, and its folder holds all its weights.

The probe costs a pass of the backbone over every image it looks at, so it begins with those that the
sketch has seen, and goes on to more only where it has a chance: `Floor`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE
from snt_zoo.encoders.probe import GrowingProbe, Probe
from snt_zoo.encoders.sketch import Drawn
from snt_zoo.errors import UnknownComponentError
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.device import resolve_device
from snt_zoo.networks.ensemble import Ensemble, Pool, fit_pool
from snt_zoo.networks.evaluate import Model, count_macs, count_parameters, evaluate, logits
from snt_zoo.networks.starting import starting_supernet
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.finetune import FinetuneResult

FLOOR_SHARE = 0.15
"""Of a budget in seconds: a probe that has taken so much of it looks at no more images."""

_MAX_VAL = 1000  # validation images that the probe is judged on


class Floor:
    """The probe in a run: fitted to the sketch's images first, to more once that can matter.

    A `snt_zoo.search.adapting.rival.Rival`.

    Args:
        data: the target.
        drawn: what its sketch is made of.
        seconds: what the probe may take; None for any time, for runs that must repeat.
        limits: on the network that is handed back.
        seed: of the images that are drawn besides.
        timer: what counts seconds.
    """

    def __init__(
        self,
        data: ImageDataset,
        drawn: Drawn,
        *,
        seconds: float | None,
        limits: Limits | None = None,
        seed: int = 0,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.growing = GrowingProbe(data, drawn, max_val=_MAX_VAL, seed=seed, timer=timer)
        self.seconds = seconds
        self.limits = limits or Limits()
        self.drawn = drawn
        self._probe: Probe | None = None
        self._seen: tuple[Tensor, float] | None = None
        self._fits: bool | None = None

    @property
    def probe(self) -> Probe:
        """The best probe so far."""
        if self._probe is None:
            self._probe = self.growing.fit(max_images=len(self.drawn.indices), seconds=self.seconds)
        return self._probe

    def begin(self) -> float:
        """Fit it to the images of the sketch; see `Rival`."""
        return self.probe.val_accuracy

    def look(self, network: Supernet | DerivedModel, accuracy: float) -> None:
        """See the derived network; see `Rival`."""
        if self._fits is None:
            self._fits = self.limits == Limits() or self._allowed(network)
        if self._fits:
            self._seen = logits(network, self.growing.val), accuracy

    def _allowed(self, network: Supernet | DerivedModel) -> bool:
        both = (network, probe_network(self.probe))
        return self.limits.allow(sum(map(count_parameters, both)), sum(map(count_macs, both)))

    def together(self) -> float | None:
        """The accuracy of both; see `Rival`."""
        found = self.pool()
        return None if found is None else found[0].accuracy

    def pool(self, *, best: tuple[Tensor, float] | None = None) -> tuple[Pool, Pool] | None:
        """The derived network that was seen last and the probe together, and the better one alone.

        Only if both together are handed back: if their cross-entropy on validation is clearly lower than that
        of the better one, and their accuracy no lower than what the floor promises. Where one has no error
        there is nothing to gain.

        Args:
            best: logits and validation accuracy of the best head, where that is better than both.
        """
        if self._seen is None:
            return None
        asked = (self.probe.logits(self.growing.val_features), self.probe.val_accuracy)
        alone = best or max(self._seen, asked, key=lambda each: each[1])
        if alone[1] >= 1:
            return None
        labels = self.growing.val.labels
        pool = fit_pool([self._seen[0], asked[0]], labels)
        single = fit_pool([alone[0]], labels)
        promised = max(asked[1], best[1] if best else 0.0)
        return (pool, single) if pool.accuracy >= promised and pool.clearly_better_than(single) else None

    def matters(self, reached: float) -> bool:
        """Whether it shall look at more images: if it answers, alone or with the network; see `Rival`."""
        # A network that is ahead while its training goes on is out of reach: docs/decisions.md, 51 and 61.
        return not self.growing.complete and (
            self.probe.val_accuracy >= reached or self.together() is not None
        )

    def grow(self) -> float:
        """Fit it to more images; see `Rival`."""
        left = None if self.seconds is None else max(self.seconds - self.probe.seconds, 0.0)
        grown = self.growing.fit(seconds=left)
        if grown.val_accuracy >= self.probe.val_accuracy:
            self._probe = grown
        return self.probe.val_accuracy


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
    result: FinetuneResult, floor: Floor, data: ImageDataset, *, device: str | torch.device = "auto"
) -> FinetuneResult:
    """What a run hands back, no worse on validation than what is there without a search.

    That is the probe's network, and of a race the best head that was fitted. Or the derived network and the
    probe together, where that is clearly better than the best of these: `Floor.pool`.

    Args:
        result: of the run.
        floor: that was in the run. Limits of its own hold: a probe that is too large for them is told of, and
            not handed back.
        data: that the network is measured on.
        device: where it is measured.

    Returns:
        The result with `probe`. If another network is handed back, `returned` is `"probe"`, `"head"` or
        `"ensemble"`, `derived` is the result as it was, and a warning says how far the derived network came.
    """
    probe, head = floor.probe, result.best_head
    network = probe_network(probe)
    params, macs = count_parameters(network), count_macs(network)
    searched, reached = result, result.accuracy["val"]
    result = replace(result, probe=probe.to_json() | {"params": params, "macs": macs})
    fits = floor.limits.allow(params, macs)
    if probe.val_accuracy > reached and not fits:
        told = (
            f"a linear probe on the ImageNet backbone is {_ahead(probe.val_accuracy, reached)}, but too "
            f"large for the limits ({params:,} parameters, {macs:,} MACs): it is not handed back"
        )
        result = replace(result, warnings=(*result.warnings, told))
    best_probe = probe.val_accuracy if fits else -1.0
    if head is not None and (head.val_accuracy <= reached or head.val_accuracy < best_probe):
        head = None

    assert isinstance(searched.model, DerivedModel)
    floor.look(searched.model, reached)
    third = None if head is None else (logits(head.model, floor.growing.val), head.val_accuracy)
    found = floor.pool(best=third)
    if found is not None:
        pool, alone = found
        why = (
            "the derived network and a linear probe on the ImageNet backbone are better together on "
            f"validation, by a cross-entropy of {pool.cross_entropy:.3f} against {alone.cross_entropy:.3f}; "
            f"accuracy {_percent(pool.accuracy)}, of the derived network {_percent(reached)}"
        )
        handed = _handed_back(result, Ensemble([searched.model, network], pool.weights), why, data, device)
        facts = {
            "weights": [round(weight, 4) for weight in pool.weights.tolist()],
            "cross_entropy": pool.cross_entropy,
            "alone": alone.cross_entropy,
        }
        return replace(handed, returned="ensemble", ensemble=facts, derived=searched)
    if head is not None:
        why = f"a head fitted to {head.source} is {_ahead(head.val_accuracy, reached)}"
        handed = _handed_back(result, head.model, why, data, device)
        return replace(handed, returned="head", source=head.source, derived=searched)
    if best_probe > reached:
        why = f"a linear probe on the ImageNet backbone is {_ahead(best_probe, reached)}"
        handed = _handed_back(result, network, why, data, device)
        return replace(handed, returned="probe", derived=searched)
    return result


def _handed_back(
    result: FinetuneResult, model: Model, why: str, data: ImageDataset, device: str | torch.device
) -> FinetuneResult:
    """The result with another network in place of the derived one."""
    params, macs = count_parameters(model), count_macs(model)
    model.placed(resolve_device(device))
    accuracy = {"val": evaluate(model, data.val), "test": evaluate(model, data.test)}
    what = "both are handed back as one" if isinstance(model, Ensemble) else "its network is handed back"
    told = (
        f"{why}: {what} ({params:,} parameters, {macs:,} MACs). The derived network "
        f"({result.params:,} parameters, {result.macs:,} MACs) is kept beside it; to have that alone, switch "
        "the floor off or set a limit of size"
    )
    return replace(
        result,
        model=model.placed("cpu").eval(),
        genotype=result.genotype if isinstance(model, Ensemble) else model.genotype,
        accuracy=accuracy,
        params=params,
        macs=macs,
        warnings=(*result.warnings, told),
    )


def _ahead(accuracy: float, reached: float) -> str:
    return f"better on validation, {_percent(accuracy)} against {_percent(reached)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
