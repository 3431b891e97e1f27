"""A derived model on disk: a folder that loads without the zoo.

```
config.json         network, class names, input, where it came from, accuracy
model.safetensors   weights
genotype.json       the architecture
```

An ensemble's `config.json` holds besides the network and the genotype of the members after the first, and
`model.safetensors` the weights of all.

Safetensors and JSON only; keys, shapes and types must match the genotype's network exactly.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from snt_zoo.data import Normalisation
from snt_zoo.errors import BundleError, ModelFolderError, SntZooError, TensorError
from snt_zoo.formats.durable import write_files
from snt_zoo.formats.strict_json import parse_json
from snt_zoo.formats.tensor_file import Spec, load_tensors, parse_header
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.ensemble import Ensemble
from snt_zoo.networks.evaluate import Model
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.initialise import materialise
from snt_zoo.networks.supernet import NetworkConfig

FORMAT = "snt-zoo derived model"
VERSION = 1
ENSEMBLE_VERSION = 2
"""Of a folder that holds an ensemble, which earlier releases cannot read."""
MOST_MEMBERS = 8
CONFIG_LIMIT = 10_000_000  # bytes
HEADER_LIMIT = 2_000_000  # bytes of the header of model.safetensors, as for a bundle


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A derived model with what is needed to use it.

    Args:
        model: in eval mode, on the CPU: a derived model, or an ensemble, whose first member was derived from
            `source`.
        class_names: in the order of the outputs.
        source: id of the supernet that it came from, `"scratch"`, or `"probe"` for a linear probe on the
            backbone of the package.
        accuracy: ``{"val": …, "test": …}`` as measured when it was made.
        licences: of what it was made from, a supernet and the datasets that it was trained on, by name.
    """

    model: Model
    class_names: tuple[str, ...]
    source: str
    accuracy: dict[str, float]
    licences: dict[str, str] = field(default_factory=dict)

    def documents(self) -> dict[str, dict[str, Any]]:
        """The JSON files of its folder, by name, as `model_files` has them: nothing else is in them."""
        first, *others = self.model.networks if isinstance(self.model, Ensemble) else [self.model]
        config = {
            "format": FORMAT,
            "version": VERSION,
            "network": first.config.to_json(),
            "class_names": list(self.class_names),
            "source": self.source,
            "accuracy": dict(self.accuracy),
        }
        if isinstance(self.model, Ensemble):
            members = [{"network": o.config.to_json(), "genotype": o.genotype.to_json()} for o in others]
            config |= {"version": ENSEMBLE_VERSION, "others": members}
        if self.licences:
            config |= {"licences": dict(self.licences)}
        return {"config.json": config, "genotype.json": first.genotype.to_json()}


def model_files(
    model: Model,
    *,
    class_names: Sequence[str],
    source: str,
    accuracy: Mapping[str, float],
    licences: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What `write_into` has to write of a network.

    Args:
        model: a derived model, or an ensemble, whose first member was derived from `source`.
        class_names: in the order of the outputs.
        source: as of `LoadedModel`.
        accuracy: likewise.
        licences: likewise.
    """
    saved = LoadedModel(model, tuple(class_names), source, dict(accuracy), dict(licences or {}))
    state = {name: t.contiguous() for name, t in model.state_dict().items()}
    return {"model.safetensors": state, **saved.documents()}


def write_into(folder: Path, files: Mapping[str, Any]) -> None:
    """Write files into a model's folder, which is made if need be; of a failure nothing is seen there.

    Args:
        folder: where to.
        files: by name: tensors for a `.safetensors`, plain data for a `.json`, else a text. Where the last
            one stands, all do.

    Raises:
        ModelFolderError: the folder cannot be written.
    """
    try:
        write_files(folder, {name: _encoded(name, content) for name, content in files.items()})
    except OSError as error:
        raise ModelFolderError(
            f"cannot write the model into {folder} ({error.strerror}): make room there, or choose another "
            "--out"
        ) from error


def check_writable(folder: Path) -> None:
    """Raise `ModelFolderError` unless a model can be written there: asked before a run, not after it."""
    write_into(folder, {"writable.txt": ""})
    (folder / "writable.txt").unlink(missing_ok=True)


def _encoded(name: str, content: Any) -> bytes:
    if name.endswith(".safetensors"):
        return save(content, metadata={"format": "pt"})
    text = json_text(content) if name.endswith(".json") else str(content)
    # A name that is no UTF-8 has halves of surrogate pairs: as escapes JSON keeps them.
    return text.encode("utf-8", "backslashreplace")


def json_text(document: Any) -> str:
    """A document as it stands in a model's folder."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def load_model(folder: str | Path) -> LoadedModel:
    """Load what `model_files` and `write_into` wrote.

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
    if config.get("version") not in (VERSION, ENSEMBLE_VERSION):
        raise ModelFolderError(
            f"{folder} has model format {config.get('version')!r}, this snt-zoo reads {VERSION} and "
            f"{ENSEMBLE_VERSION}: upgrade snt-zoo"
        )
    try:
        network = _network(config["network"])
        class_names = tuple(str(name) for name in config["class_names"])
        accuracy = {str(part): float(value) for part, value in dict(config.get("accuracy", {})).items()}
        licences = {str(name): str(text) for name, text in dict(config.get("licences", {})).items()}
        genotype = Genotype.from_json(_read_json(folder, "genotype.json"))
        with torch.device("meta"):
            first = DerivedModel(network, genotype)
            model = _ensemble(first, config["others"]) if config["version"] == ENSEMBLE_VERSION else first
    except ModelFolderError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, SntZooError) as error:
        raise ModelFolderError(f"{folder} does not describe a network: {error}") from error
    if len(class_names) != network.num_classes:
        raise ModelFolderError(
            f"{folder} has {len(class_names)} class names for {network.num_classes} outputs"
        )
    _load_weights(model, folder)
    return LoadedModel(model.eval(), class_names, str(config.get("source", "")), accuracy, licences)


def _ensemble(first: DerivedModel, others: Any) -> Ensemble:
    if not 1 <= len(others) < MOST_MEMBERS:
        raise ValueError(f"expected 2 to {MOST_MEMBERS} members of an ensemble, got {len(others) + 1}")
    members = [DerivedModel(_network(o["network"]), Genotype.from_json(o["genotype"])) for o in others]
    return Ensemble([first, *members], torch.empty(len(members) + 1))


def _load_weights(model: Model, folder: Path) -> None:
    path = folder / "model.safetensors"
    expected = {name: (t.dtype, tuple(t.shape)) for name, t in model.state_dict().items()}
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            head = file.read(8 + HEADER_LIMIT)
            found = parse_header(head, what=path.name, limit=HEADER_LIMIT, size=size).tensors
            # Before the rest is read: a file of another network's size costs no memory.
            _check_names(path, found, expected)
            tensors, _ = load_tensors(head + file.read(size - len(head)), what=path.name, limit=HEADER_LIMIT)
    except FileNotFoundError as error:
        raise ModelFolderError(f"{folder} lacks model.safetensors: save the model again") from error
    except (TensorError, OSError) as error:
        raise ModelFolderError(f"{path} cannot be read ({error}): save the model again") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ModelFolderError(f"{path} holds NaN or infinity in {name}")
    materialise(model)
    model.load_state_dict(tensors)
    model.placed("cpu")


def _check_names(path: Path, found: Spec, expected: Spec) -> None:
    if found != expected:
        names = sorted(k for k in {*found, *expected} if found.get(k) != expected.get(k))
        raise ModelFolderError(
            f"{path} does not hold the weights of the genotype: "
            f"{', '.join(ascii(name)[1:-1][:80] for name in names[:3])} differ"
        )


def _network(data: Any) -> NetworkConfig:
    normalisation = data["normalisation"]
    return NetworkConfig(
        space=str(data["space"]),
        hyperparameters={str(k): v for k, v in data["hyperparameters"].items()},
        num_classes=int(data["num_classes"]),
        input_size=int(data["input_size"]),
        normalisation=Normalisation(tuple(normalisation["mean"]), tuple(normalisation["std"])),
    )


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        raise ModelFolderError(
            f"{folder} holds no {name}: MODEL_DIR is a folder that `snt-zoo finetune --out` wrote"
        )
    try:
        with path.open("rb") as file:
            return parse_json(file.read(CONFIG_LIMIT + 1), what=name, limit=CONFIG_LIMIT)
    except (OSError, BundleError) as error:
        raise ModelFolderError(f"{path} cannot be read ({error}): save the model again") from error
