"""A supernet as the tensors of `model.safetensors`, and back.

Reading trusts nothing: the network is built on the meta device from the validated config and
bounded before memory is spent; names, shapes and types must be exactly its own; values must be
finite; and the figures that queries filter by must be those of the network.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from snt_zoo.errors import ConfigError, NonFiniteError, TensorError
from snt_zoo.formats.tensor_file import Spec
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import count_macs, count_parameters
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.registry.bundle.folder import MAX_PARAMS, MODEL
from snt_zoo.registry.bundle.schema import BundleConfig, GenotypeEntry, NetworkEntry

DtypeName = Literal["float32", "float16"]
_DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "float16": torch.float16}
_SHOWN_DIFFERENCES = 3


def blueprint(network: NetworkConfig) -> Supernet:
    """The supernet of a config on the meta device, where tensors take no memory.

    Raises:
        ConfigError: it would have more than `MAX_PARAMS` numbers.
    """
    with torch.device("meta"):
        net = Supernet(network)
    count = sum(tensor.numel() for tensor in net.state_dict().values())
    if count > MAX_PARAMS:
        raise ConfigError(
            f"config.json: network: a bundle may hold at most {MAX_PARAMS:,} numbers, this network "
            f"has {count:,}: choose fewer channels or cells"
        )
    return net


def stored_spec(net: Supernet, dtype: DtypeName) -> Spec:
    """Types and shapes of the tensors that `model.safetensors` holds for a network."""
    return {
        name: (
            _DTYPES[dtype] if tensor.is_floating_point() else torch.int64,
            tuple(tensor.shape),
        )
        for name, tensor in net.state_dict().items()
    }


def check_spec(found: Spec, expected: Spec) -> None:
    """Raise `TensorError`, with up to three differences, unless both are the same."""
    if found == expected:
        return
    differences = []
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            want, got = _show(expected.get(name)), _show(found.get(name))
            differences.append(f"{ascii(name)[:120]} must be {want}, is {got}")
    more = len(differences) - _SHOWN_DIFFERENCES
    tail = f"; and {more} more" if more > 0 else ""
    raise TensorError(
        f"{MODEL} does not fit the network of config.json: "
        f"{'; '.join(differences[:_SHOWN_DIFFERENCES])}{tail}: the bundle cannot be used"
    )


def _show(entry: tuple[torch.dtype, tuple[int, ...]] | None) -> str:
    if entry is None:
        return "absent"
    return f"{str(entry[0]).removeprefix('torch.')} {list(entry[1])}"


def pack(supernet: Supernet, dtype: DtypeName) -> dict[str, Tensor]:
    """The tensors to store: floating ones in `dtype`, counters as int64.

    Raises:
        TensorError: the supernet is not float32.
        NonFiniteError: a value is NaN or infinite, or too large for float16.
    """
    packed = {}
    for name, tensor in supernet.state_dict().items():
        if not tensor.is_floating_point():
            packed[name] = tensor.detach().cpu().to(torch.int64)
            continue
        if tensor.dtype != torch.float32:
            raise TensorError(f"{name} must be float32, is {tensor.dtype}: convert with .float()")
        packed[name] = tensor.detach().cpu().to(_DTYPES[dtype])
        if not bool(packed[name].isfinite().all()):
            if bool(tensor.isfinite().all()):
                raise NonFiniteError(
                    f"{name} has values above the range of float16 (65,504): write as float32"
                )
            raise NonFiniteError(f"{name} holds NaN or infinity: the training diverged")
    return packed


def unpack(tensors: Mapping[str, Tensor], net: Supernet, dtype: DtypeName) -> Supernet:
    """Fill a network with stored tensors.

    Args:
        tensors: what the file holds.
        net: as `blueprint` gives it; it is the one that is returned.
        dtype: in which floating tensors are stored.

    Returns:
        The supernet in float32, in eval mode, on the CPU.

    Raises:
        TensorError: names, shapes or types are not those of the network.
        NonFiniteError: a value is NaN or infinite.
    """
    found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    check_spec(found, stored_spec(net, dtype))
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise NonFiniteError(f"{MODEL}: {name} holds NaN or infinity: the bundle cannot be used")
    state = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
    net.load_state_dict(state, assign=True)
    return net.eval().placed("cpu")


def as_stored(supernet: Supernet, dtype: DtypeName) -> Supernet:
    """The supernet as a reader of the bundle will see it: a copy, rounded to `dtype`.

    Rounding can tip an alpha, so the genotype and the accuracies of a bundle in float16 are to be
    taken from this copy.
    """
    copies = {name: tensor.clone() for name, tensor in pack(supernet, dtype).items()}
    return unpack(copies, blueprint(supernet.config), dtype)


def describe(supernet: Supernet, *, dtype: DtypeName = "float32") -> dict[str, Any]:
    """The fields of a `BundleConfig` that follow from the supernet.

    `params` and `macs` are those of the network derived from its genotype, which is what would be
    deployed; `supernet_macs` those of a pass that computes every operation.

    Args:
        supernet: to be written.
        dtype: of the stored weights.

    Returns:
        `network`, `dtype`, `genotype`, `params`, `macs`, `supernet_params`, `supernet_macs`.
    """
    net = as_stored(supernet, dtype)
    genotype = net.genotype()
    params, macs = _derived_size(net.config, genotype)
    return {
        "network": NetworkEntry.of(net.config),
        "dtype": dtype,
        "genotype": GenotypeEntry.of(genotype),
        "params": params,
        "macs": macs,
        "supernet_params": count_parameters(net),
        "supernet_macs": _count_mixed(json.dumps(net.config.to_json())),
    }


def check_claims(config: BundleConfig, supernet: Supernet) -> None:
    """Hold the config to the weights: a genotype or a size that is not theirs is refused.

    `supernet_macs` is not checked: what a pass of the supernet computes depends on how it is coded.

    Raises:
        ConfigError: a field is not what the weights give.
    """
    genotype = supernet.genotype()
    if config.genotype.to_genotype() != genotype:
        raise ConfigError(
            "config.json: genotype: must be what the stored alphas derive to, "
            f"{genotype}: take it from snt_zoo.registry.describe()"
        )
    params, macs = _derived_size(supernet.config, genotype)
    found = {"params": params, "macs": macs, "supernet_params": count_parameters(supernet)}
    for field, value in found.items():
        if getattr(config, field) != value:
            raise ConfigError(
                f"config.json: {field}: must be {value:,}, which the network has, got "
                f"{getattr(config, field):,}: take it from snt_zoo.registry.describe()"
            )


def _derived_size(network: NetworkConfig, genotype: Genotype) -> tuple[int, int]:
    """Parameters and MACs of a derived network."""
    return _count_derived(json.dumps([network.to_json(), genotype.to_json()]))


# Counts are kept, as they take 50 ms and more, and a bundle is described, written and added in turn.
@functools.lru_cache(maxsize=64)
def _count_derived(key: str) -> tuple[int, int]:
    network, genotype = json.loads(key)
    with torch.device("meta"):
        derived = DerivedModel(
            NetworkEntry.model_validate(network).to_network(), Genotype.from_json(genotype)
        )
    return count_parameters(derived), count_macs(derived)


@functools.lru_cache(maxsize=64)
def _count_mixed(key: str) -> int:
    """MACs of the pass that computes every operation."""
    return count_macs(blueprint(NetworkEntry.model_validate_json(key).to_network()))
