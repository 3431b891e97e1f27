"""A derived model on disk: a folder that loads without the zoo.

```
config.json         network, class names, input, where it came from, accuracy
model.safetensors   weights
genotype.json       the architecture
report.json         the run, as `snt-zoo finetune --json` prints it
report.html         the same to look at
```

Safetensors and JSON only; keys, shapes and types must match the genotype's network exactly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from snt_zoo.data import Normalisation
from snt_zoo.errors import ConfigError, ModelFolderError, SntZooError
from snt_zoo.search.derived import DerivedModel
from snt_zoo.search.genotype import Genotype
from snt_zoo.search.supernet import NetworkConfig

if TYPE_CHECKING:
    from snt_zoo.search.finetune import FinetuneResult

FORMAT = "snt-zoo derived model"
VERSION = 1
_CONFIG_LIMIT = 10_000_000  # bytes


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A derived model with what is needed to use it.

    Args:
        model: in eval mode, on the CPU.
        class_names: in the order of the outputs.
        source: id of the supernet that it came from, or `"scratch"`.
        accuracy: ``{"val": …, "test": …}`` as measured when it was made.
    """

    model: DerivedModel
    class_names: tuple[str, ...]
    source: str
    accuracy: dict[str, float]


def save_result(result: FinetuneResult, folder: Path) -> Path:
    """Write a finetuned model and its report into a folder, which is made if need be.

    Raises:
        ModelFolderError: the folder cannot be written.
    """
    from snt_zoo.search.report import report_html, report_json

    config = {
        "format": FORMAT,
        "version": VERSION,
        "network": result.model.config.to_json(),
        "class_names": list(result.class_names),
        "source": result.source,
        "accuracy": dict(result.accuracy),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: t.contiguous() for name, t in result.model.state_dict().items()}
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        _write_json(folder / "config.json", config)
        _write_json(folder / "genotype.json", result.genotype.to_json())
        _write_json(folder / "report.json", report_json(result, out=folder))
        (folder / "report.html").write_text(report_html(result, out=folder), encoding="utf-8")
    except OSError as error:
        raise ModelFolderError(
            f"cannot write the model into {folder} ({error.strerror}): choose another --out"
        ) from error
    return folder


def load_model(folder: str | Path) -> LoadedModel:
    """Load what `save_result` wrote.

    Example:
        >>> import snt_zoo
        >>> loaded = snt_zoo.load_model("runs/photos-1")  # doctest: +SKIP

    Raises:
        ModelFolderError: the folder is not a saved model, or a damaged one.
    """
    folder = Path(folder)
    config = _read_json(folder, "config.json")
    if config.get("format") != FORMAT:
        raise ModelFolderError(
            f"{folder} is not a model that `snt-zoo finetune` saved (its config.json names the format "
            f"{config.get('format')!r}); a supernet's bundle is added with `snt-zoo add`"
        )
    if config.get("version") != VERSION:
        raise ModelFolderError(
            f"{folder} has model format {config.get('version')!r}, this snt-zoo reads {VERSION}: "
            "upgrade snt-zoo"
        )
    try:
        network = _network(config["network"])
        class_names = tuple(str(name) for name in config["class_names"])
        genotype = Genotype.from_json(_read_json(folder, "genotype.json"))
        with torch.device("meta"):
            model = DerivedModel(network, genotype)
    except ModelFolderError:
        raise
    except (KeyError, TypeError, ValueError, SntZooError) as error:
        raise ModelFolderError(f"{folder} does not describe a network: {error}") from error
    if len(class_names) != network.num_classes:
        raise ModelFolderError(
            f"{folder} has {len(class_names)} class names for {network.num_classes} outputs"
        )
    _load_weights(model, folder)
    accuracy = {str(part): float(value) for part, value in dict(config.get("accuracy", {})).items()}
    return LoadedModel(model.eval(), class_names, str(config.get("source", "")), accuracy)


def _load_weights(model: DerivedModel, folder: Path) -> None:
    path = folder / "model.safetensors"
    try:
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise ModelFolderError(f"{folder} lacks model.safetensors: save the model again") from error
    except (SafetensorError, OSError) as error:
        raise ModelFolderError(f"{path} cannot be read ({error}): save the model again") from error
    expected = {name: (t.dtype, tuple(t.shape)) for name, t in model.state_dict().items()}
    found = {name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()}
    if found != expected:
        names = sorted(k for k in {*found, *expected} if found.get(k) != expected.get(k))
        raise ModelFolderError(
            f"{path} does not hold the weights of the genotype: {', '.join(names[:3])} differ"
        )
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ModelFolderError(f"{path} holds NaN or infinity in {name}")
    model.to_empty(device="cpu")
    model.load_state_dict(tensors)
    model.to(memory_format=torch.channels_last)


def _network(data: Any) -> NetworkConfig:
    normalisation = data["normalisation"]
    return NetworkConfig(
        space=str(data["space"]),
        hyperparameters={str(k): v for k, v in data["hyperparameters"].items()},
        num_classes=int(data["num_classes"]),
        input_size=int(data["input_size"]),
        normalisation=Normalisation(tuple(normalisation["mean"]), tuple(normalisation["std"])),
    )


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        raise ModelFolderError(
            f"{folder} holds no {name}: MODEL_DIR is a folder that `snt-zoo finetune --out` wrote"
        )
    try:
        if path.stat().st_size > _CONFIG_LIMIT:
            raise ConfigError(f"it has more than {_CONFIG_LIMIT:,} bytes")
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ConfigError("it is not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFolderError(f"{path} cannot be read ({error}): save the model again") from error
    return data
