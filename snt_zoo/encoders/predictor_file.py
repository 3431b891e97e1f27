"""The file of a predictor: what it was fitted to by number, what is known of those datasets and networks, and
weights, as one safetensors file."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snt_zoo.encoders.facts import FACTS
from snt_zoo.encoders.gaussian_process import START, GaussianProcess, Kernel, Pairs
from snt_zoo.encoders.network_facts import NetworkFacts
from snt_zoo.encoders.predictor import Predictor, geometry_of
from snt_zoo.errors import ConfigError, TensorError
from snt_zoo.formats.durable import write_files
from snt_zoo.formats.strict_json import parse_json
from snt_zoo.formats.tensor_file import dump_tensors, load_tensors

FORMAT = 2
ASSET = Path(__file__).parent / "assets" / "predictor.safetensors"
"""The one that ships."""
FILE_LIMIT = 64 * 2**20
_HEADER_LIMIT = 2**20


def save_predictor(predictor: Predictor, path: Path) -> None:
    """Write the file, whole or not at all."""
    pairs, geometry = predictor.process.pairs, predictor.process.geometry
    tensors = {
        "logs": predictor.process.kernel.logs,
        "known": predictor.known,
        "vectors": predictor.vectors,
        "profiles": torch.stack([each.profile for each in predictor.networks if each.profile is not None]),
        "near": geometry.to_source[pairs.task, pairs.network],
        "y": predictor.process.y,
        "noise": predictor.process.noise,
        "weights": predictor.weights,
    }
    numbers = {"task": pairs.task, "network": pairs.network}
    networks = [
        {key: value for key, value in vars(each).items() if key != "profile"} for each in predictor.networks
    ]
    bounds = predictor.bound, predictor.bound_beside_probe
    meta = {
        "format": FORMAT,
        "mean": predictor.mean,
        "near": list(predictor.near),
        "bounds": [one if one < float("inf") else None for one in bounds],
        "networks": networks,
        "parents": list(predictor.parents),
        "card": dict(predictor.card),
    }
    floats = {key: tensor.float() for key, tensor in tensors.items()}
    raw = dump_tensors({**floats, **numbers}, {"predictor": json.dumps(meta, allow_nan=False)})
    write_files(path.parent, {path.name: raw})


def load_predictor(path: Path) -> Predictor:
    """Read a file, trusting nothing in it.

    Raises:
        TensorError, ConfigError: it is none, or of a newer release.
    """
    try:
        raw = path.read_bytes()[: FILE_LIMIT + 1]
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if len(raw) > FILE_LIMIT:
        raise TensorError(f"{path} must have at most {FILE_LIMIT:,} bytes")
    tensors, texts = load_tensors(raw, what=path.name, limit=_HEADER_LIMIT)
    meta = parse_json(texts.get("predictor", "").encode(), what=path.name, limit=_HEADER_LIMIT)
    if meta.get("format") != FORMAT:
        raise ConfigError(
            f"{path.name} is of format {meta.get('format')!r}, this release reads {FORMAT}: train it again"
        )
    try:
        return _of(tensors, meta)
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise TensorError(f"{path.name} does not agree with itself ({error}): train it again") from error


@functools.cache
def shipped_predictor() -> Predictor | None:
    """The predictor that ships; None in a package without one."""
    return load_predictor(ASSET) if ASSET.is_file() else None


def _of(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> Predictor:
    values = {key: tensor.double() for key, tensor in tensors.items() if tensor.is_floating_point()}
    if not all(bool(tensor.isfinite().all()) for tensor in values.values()):
        raise ValueError("a number is not finite")
    networks = tuple(
        NetworkFacts(**each, profile=profile.float())
        for each, profile in zip(meta["networks"], values["profiles"], strict=True)
    )
    if tensors["logs"].shape != (len(START),) or values["known"].shape[1] != len(FACTS):
        raise ValueError("other parts of the kernel, or other facts")
    near = float(meta["near"][0]), float(meta["near"][1])
    distances = torch.full((len(values["known"]), len(networks)), torch.nan, dtype=torch.float64)
    geometry = geometry_of(
        values["known"], values["known"], values["vectors"], networks, networks, distances, near
    )
    pairs = Pairs(tensors["task"], tensors["network"])
    geometry.to_source[pairs.task, pairs.network] = values["near"]
    process = GaussianProcess(Kernel(values["logs"]), geometry, pairs, values["y"], values["noise"])
    bound, beside = (float("inf") if one is None else float(one) for one in meta["bounds"])
    if not len(pairs.task) == len(pairs.network) == len(values["weights"]) == len(values["y"]):
        raise ValueError("as many pairs as weights")
    return Predictor(
        process,
        values["weights"],
        float(meta["mean"]),
        values["vectors"],
        values["known"],
        tuple(map(str, meta["parents"])),
        networks,
        near,
        bound,
        beside,
        dict(meta["card"]),
    )
