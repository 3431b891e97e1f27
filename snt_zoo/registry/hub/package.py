"""What a push uploads: a bundle or a derived model, checked first, as contents by path."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from snt_zoo.errors import MissingFileError, ModelFolderError
from snt_zoo.formats.strict_json import dump_json, parse_json
from snt_zoo.networks.model_folder import FORMAT, load_model
from snt_zoo.networks.trial import check_forward
from snt_zoo.registry.bundle.bundle import read_bundle
from snt_zoo.registry.bundle.folder import CARD, CONFIG, DATASET, MANIFEST, MODEL, read_file
from snt_zoo.registry.hub.hub_card import derived_card, eval_results, supernet_card
from snt_zoo.registry.hub.layout import EVAL_RESULTS, GENOTYPE, KEPT_CARD, MODEL_LIMITS, REPORT, Kind
from snt_zoo.registry.hub.states import hashes_of

Content = bytes | Path


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
    if (folder / GENOTYPE).is_file() or _is_model(config):
        return _pack_model(folder, base)
    return _pack_bundle(folder)


def _is_model(config: Path) -> bool:
    with config.open("rb") as file:
        raw = file.read(MODEL_LIMITS[CONFIG] + 1)
    try:
        data = json.loads(raw)
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
    loaded = load_model(folder)
    check_forward(loaded.model, what=str(folder / MODEL))
    files: dict[str, Content] = {name: (folder / name).read_bytes() for name in (CONFIG, GENOTYPE)}
    report = folder / REPORT
    if report.is_file():
        if report.stat().st_size > MODEL_LIMITS[REPORT]:
            raise ModelFolderError(f"{report} must have at most {MODEL_LIMITS[REPORT]:,} bytes: remove it")
        data = parse_json(report.read_bytes(), what=REPORT, limit=MODEL_LIMITS[REPORT])
        if isinstance(data.get("derived"), dict):
            data["derived"] = data["derived"] | {"out": None}
        files[REPORT] = dump_json(data | {"out": None})  # a path of this machine is nobody's business
    files[MODEL] = folder / MODEL
    hashed = {name: hashes_of(content) for name, content in files.items()}
    entries = {name: {"sha256": one.sha256, "size": one.size} for name, one in hashed.items()}
    files[MANIFEST] = dump_json({"format_version": 1, "files": entries})
    name = f"a model derived from {loaded.source or 'scratch'}"
    return Package("model", name, files, lambda repo: derived_card(loaded, repo, base=base(loaded.source)))
