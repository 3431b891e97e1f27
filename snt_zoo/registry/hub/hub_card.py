"""What the Hub shows of a repository: `README.md` with its metadata, and `.eval_results/*.yaml`.

The card says `library_name: snt-zoo`, by whose tag repositories are found, and gives the accuracies as
`model-index`, which the Hub calls legacy, while `.eval_results/*.yaml` is the newer form; it can name a
dataset of the Hub alone. A card ends with the sha256 of its text: one that still has it was edited by
nobody, and a later push may write it anew; any other is its owner's and stays.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from snt_zoo.networks.ensemble import Ensemble
from snt_zoo.networks.evaluate import input_sizes
from snt_zoo.networks.model_folder import LoadedModel
from snt_zoo.registry.bundle.model_card import model_card, percent, plain, quoted
from snt_zoo.registry.bundle.schema import BundleConfig
from snt_zoo.registry.hub.layout import TAG
from snt_zoo.registry.hub.refs import is_repo

TASK = "image-classification"
_SEAL = re.compile(r"\n<!-- written by snt-zoo, sha256 ([0-9a-f]{64}) -->\n\Z")
_DATASET = re.compile(r"hf:([A-Za-z0-9][\w.-]*(?:/[\w.-]+)?)(?::([\w.-]+))?", re.ASCII)
_SHOWN_CLASSES = 50


def supernet_card(config: BundleConfig, repo: str) -> str:
    """The card of a supernet's repository; the same text for equal arguments."""
    sources = config.training.datasets
    on_hub = _DATASET.fullmatch(sources[0].source) if len(sources) == 1 else None
    dataset = {
        "name": ", ".join(source.name for source in sources)[:200],
        "type": on_hub[1] if on_hub else "images",
    }
    accuracies = {"validation": config.metrics.val_accuracy, "test": config.metrics.test_accuracy}
    metadata = _model_index(config.name, dataset, accuracies)
    return _sealed(model_card(config, repo=repo, metadata=metadata))


def derived_card(loaded: LoadedModel, repo: str, *, base: str | None = None) -> str:
    """The card of a derived model's repository.

    Args:
        loaded: the model.
        repo: ``owner/name``.
        base: repository of the supernet that it came from, if that is known.
    """
    name = repo.partition("/")[2]
    first = loaded.model.networks[0] if isinstance(loaded.model, Ensemble) else loaded.model
    space = first.config.space
    sizes = " and ".join(f"{size} × {size}" for size in input_sizes(loaded.model))
    accuracies = {"validation": loaded.accuracy.get("val"), "test": loaded.accuracy.get("test")}
    shown = ", ".join(plain(name) for name in loaded.class_names[:_SHOWN_CLASSES])
    hidden = len(loaded.class_names) - _SHOWN_CLASSES
    rows = [
        ("Search space", f"`{plain(space)}`"),
        ("Derived from", plain(loaded.source) or "not stated"),
        ("Input", f"{sizes} pixels, RGB"),
        *((f"{part.capitalize()} accuracy", percent(value)) for part, value in accuracies.items()),
    ]
    return _sealed(
        "\n".join(
            [
                "---",
                "library_name: snt-zoo",
                f"pipeline_tag: {TASK}",
                "tags:",
                *(f"- {quoted(tag)}" for tag in (TAG, "derived", space)),
                *([f"base_model: {quoted(base)}"] if base is not None and is_repo(base) else []),
                *_model_index(name, {"name": "own images", "type": "images"}, accuracies),
                "---",
                "",
                f"# `{name}`",
                "",
                _described(loaded),
                "",
                "| | |",
                "|---|---|",
                *(f"| {title} | {value} |" for title, value in rows),
                "",
                *_licences(loaded),
                f"{len(loaded.class_names)} classes: {shown}{f' and {hidden:,} more' if hidden > 0 else ''}.",
                "",
                "## Use",
                "",
                "```",
                f"snt-zoo pull {repo} --out model/",
                "snt-zoo predict model/ IMAGE",
                "```",
                "",
                "```python",
                "import snt_zoo",
                "",
                'snt_zoo.load_model("model/").model  # a torch.nn.Module',
                "```",
                "",
            ]
        )
    )


def _licences(loaded: LoadedModel) -> list[str]:
    """Those of what it was made from, which may say what may be done with it."""
    if not loaded.licences:
        return []
    rows = [f"| {plain(name)} | {plain(licence)} |" for name, licence in loaded.licences.items()]
    return ["## Made from", "", "| | licence |", "|---|---|", *rows, ""]


def _described(loaded: LoadedModel) -> str:
    probe = "linear classifier on a MobileNetV2 that was trained on ImageNet"
    if loaded.source == "probe":
        return f"A {probe}, fitted by `snt-zoo`."
    told = "A plain network that `snt-zoo` derived from a supernet: one operation on each edge"
    if isinstance(loaded.model, Ensemble):
        told += f"; and a {probe}. Both answer together, by a weighted sum of their log-probabilities"
    return f"{told}."


def eval_results(config: BundleConfig) -> str | None:
    """`.eval_results/snt-zoo.yaml`, or None: it is for one dataset that is on the Hub.

    JSON, which every reader of YAML reads.
    """
    sources = config.training.datasets
    found = _DATASET.fullmatch(sources[0].source) if len(sources) == 1 else None
    if found is None or config.metrics.test_accuracy is None:
        return None
    entry = {
        "dataset": {"id": found[1], "task_id": found[2] or TASK},
        "value": config.metrics.test_accuracy,
        "date": config.training.date,
        "notes": f"accuracy on the test part as snt-zoo {config.training.code_version} splits it",
    }
    return json.dumps([entry], indent=1, ensure_ascii=False) + "\n"


def is_unedited(text: str) -> bool:
    """Whether a card is as a push wrote it."""
    found = _SEAL.search(text)
    return found is not None and hashlib.sha256(text[: found.start()].encode()).hexdigest() == found[1]


def _sealed(text: str) -> str:
    text = text.encode("utf-8", "replace").decode("utf-8")  # a name may hold half of a surrogate pair
    return f"{text}\n<!-- written by snt-zoo, sha256 {hashlib.sha256(text.encode()).hexdigest()} -->\n"


def _model_index(name: str, dataset: dict[str, str], accuracies: dict[str, float | None]) -> list[str]:
    results: list[dict[str, Any]] = [
        {
            "task": {"type": TASK},
            "dataset": dataset | {"split": split},
            "metrics": [{"type": "accuracy", "value": value, "name": f"{split.capitalize()} accuracy"}],
        }
        for split, value in accuracies.items()
        if value is not None
    ]
    if not results:
        return []
    return [f"model-index: {json.dumps([{'name': name, 'results': results}], ensure_ascii=False)}"]
