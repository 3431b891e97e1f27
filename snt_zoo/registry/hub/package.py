"""What a push uploads: a bundle or a derived model, checked first, as contents by path."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from snt_zoo.errors import MissingFileError
from snt_zoo.formats.strict_json import dump_json, parse_json
from snt_zoo.networks.model_folder import FORMAT, json_text, load_model
from snt_zoo.networks.trial import check_forward
from snt_zoo.registry.bundle.bundle import read_bundle
from snt_zoo.registry.bundle.folder import CARD, CONFIG, DATASET, MANIFEST, MODEL, open_file, read_file
from snt_zoo.registry.hub.hub_card import derived_card, eval_results, supernet_card
from snt_zoo.registry.hub.layout import EVAL_RESULTS, GENOTYPE, KEPT_CARD, MODEL_LIMITS, REPORT, Kind
from snt_zoo.registry.hub.states import hashes_of

Content = bytes | Path

_REPORTED = frozenset(
    {
        "accuracy", "class_names", "date", "derived", "ensemble", "from", "genotype", "history", "licences",
        "macs", "micro_batch", "params", "probe", "race", "returned", "search", "seconds", "settings",
        "steps", "versions", "warnings",
    }
)  # fmt: skip
"""What `FinetuneResult.to_json` gives, but for the folder."""


@dataclass(frozen=True, eq=False)
class Package:
    """What goes into a repository.

    Args:
        kind: of it.
        name: for the message of the commit.
        files: contents by path, without the card.
        card: makes the card of a repository.
    """

    kind: Kind
    name: str
    files: Mapping[str, Content]
    card: Callable[[str], str]


def pack_folder(folder: Path, *, base: Callable[[str], str | None] = lambda id: None) -> Package:
    """Check a bundle or a derived model, and pack it.

    Args:
        folder: of either.
        base: gives the repository of a supernet's id, if it is known; for the card of a derived model.

    Raises:
        BundleError: it is a damaged bundle.
        ModelFolderError: it is a damaged model.
        MissingFileError: it is neither.
    """
    config = folder / CONFIG
    if not config.is_file():
        raise MissingFileError(
            f"{folder} holds no {CONFIG}: name a supernet of the registry, the folder of a bundle, or a "
            "folder that `snt-zoo finetune --out` wrote"
        )
    if (folder / GENOTYPE).is_file() or _is_model(folder):
        return _pack_model(folder, base)
    return _pack_bundle(folder)


def _is_model(folder: Path) -> bool:
    try:
        data = json.loads(_read(folder, CONFIG))
    except (ValueError, RecursionError):
        return False  # whoever reads it next says what is wrong
    return isinstance(data, dict) and data.get("format") == FORMAT


def _pack_bundle(folder: Path) -> Package:
    bundle = read_bundle(folder)
    files: dict[str, Content] = {name: read_file(folder, name) for name in (MANIFEST, CONFIG, DATASET)}
    files[KEPT_CARD] = read_file(folder, CARD)
    files[MODEL] = folder / MODEL
    results = eval_results(bundle.config)
    if results is not None:
        files[EVAL_RESULTS] = results.encode("utf-8")
    return Package("supernet", bundle.id, files, lambda repo: supernet_card(bundle.config, repo))


def _pack_model(folder: Path, base: Callable[[str], str | None]) -> Package:
    for name in (CONFIG, GENOTYPE, MODEL):
        open_file(folder, name, limits=MODEL_LIMITS).close()  # what is a link may lead to anything
    loaded = load_model(folder)
    check_forward(loaded.model, what=str(folder / MODEL))
    # Written anew from what was understood: a field that somebody else put there goes nowhere.
    files: dict[str, Content] = {
        name: json_text(document).encode("utf-8") for name, document in loaded.documents().items()
    }
    if os.path.lexists(folder / REPORT):
        files[REPORT] = _report(folder)
    files[MODEL] = folder / MODEL
    hashed = {name: hashes_of(content) for name, content in files.items()}
    entries = {name: {"sha256": one.sha256, "size": one.size} for name, one in hashed.items()}
    files[MANIFEST] = dump_json({"format_version": 1, "files": entries})
    name = f"a model derived from {loaded.source or 'scratch'}"
    return Package("model", name, files, lambda repo: derived_card(loaded, repo, base=base(loaded.source)))


def _report(folder: Path) -> bytes:
    """The report without fields that no report has, and without paths of this machine."""
    data = parse_json(_read(folder, REPORT), what=REPORT, limit=MODEL_LIMITS[REPORT])
    kept = {key: value for key, value in data.items() if key in _REPORTED} | {"out": None}
    if isinstance(kept.get("derived"), dict):
        kept["derived"] = {k: v for k, v in kept["derived"].items() if k in _REPORTED} | {"out": None}
    return dump_json(kept)


def _read(folder: Path, name: str) -> bytes:
    with open_file(folder, name, limits=MODEL_LIMITS) as file:
        return file.read(MODEL_LIMITS[name] + 1)
