"""The floor under a finetuned network: a linear probe on an ImageNet backbone, as a network of its own.

The backbone that ships with the package is a MobileNetV2, and so is the path of a `mobile` supernet that
begins with it (`snt_zoo.starting`). So the probe's network is that supernet's derived model with the probe as
its head: it is saved, loaded, used and counted as any other, and its folder holds all its weights.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE
from snt_zoo.encoders.probe import Probe
from snt_zoo.errors import UnknownComponentError
from snt_zoo.search.constraints import Limits
from snt_zoo.search.derived import DerivedModel
from snt_zoo.search.device import resolve_device
from snt_zoo.search.evaluate import count_macs, count_parameters, evaluate
from snt_zoo.search.finetune import FinetuneResult
from snt_zoo.starting import starting_supernet


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
    """What a run hands back, no worse on validation than a probe: the probe's network where that is better.

    Args:
        result: of the run.
        probe: fitted to the same data.
        data: that the probe's network is measured on.
        limits: on the network; a probe that is too large for them is told of, and not handed back.
        device: where it is measured.

    Returns:
        The result with `probe`. If the probe's network is handed back, `returned` is `"probe"`, `derived` is
        the result as it was, and a warning says how far the derived network came.
    """
    limits = limits or Limits()
    model = probe_network(probe)
    params, macs = count_parameters(model), count_macs(model)
    facts = probe.to_json() | {"params": params, "macs": macs}
    reached = result.accuracy["val"]
    if probe.val_accuracy <= reached:
        return replace(result, probe=facts)
    ahead = (
        f"a linear probe on the ImageNet backbone is better on validation, {_percent(probe.val_accuracy)} "
        f"against {_percent(reached)}"
    )
    if params > (limits.max_params or params) or macs > (limits.max_macs or macs):
        told = (
            f"{ahead}, but too large for the limits ({params:,} parameters, {macs:,} MACs): the derived "
            "network is handed back"
        )
        return replace(result, probe=facts, warnings=(*result.warnings, told))
    model.to(resolve_device(device))
    accuracy = {"val": evaluate(model, data.val), "test": evaluate(model, data.test)}
    told = (
        f"{ahead}: its network is handed back ({params:,} parameters, {macs:,} MACs). The derived network "
        f"({result.params:,} parameters, {result.macs:,} MACs) is kept beside it; to have that alone, switch "
        "the floor off or set a limit of size"
    )
    return replace(
        result,
        model=model.cpu().eval(),
        genotype=model.genotype,
        accuracy=accuracy,
        params=params,
        macs=macs,
        returned="probe",
        probe=facts,
        derived=result,
        warnings=(*result.warnings, told),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
