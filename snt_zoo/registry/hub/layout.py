"""Which files a repository of snt-zoo may hold, and which of them are ever downloaded.

Two kinds: a *supernet* holds a bundle's files, a *model* what `load_model` reads. Local names are fixed
here: no name that a repository gives becomes a path. The card of a bundle is kept as `card.md`, since the
`README.md` of a repository belongs to its owner, who may edit it on the web; a bundle that was uploaded as
it is, without `card.md`, is pulled too, as long as nobody edited its `README.md`.

Other files are never downloaded. Texts and pictures beside a supernet do no harm and are left alone;
anything else, such as a pickle or a script, makes the whole repository suspect and it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Literal

from snt_zoo.errors import ForbiddenFileError, MissingFileError
from snt_zoo.networks.model_folder import CONFIG_LIMIT
from snt_zoo.registry.bundle.folder import CARD, CONFIG, DATASET, FILE_LIMITS, MANIFEST, MODEL
from snt_zoo.registry.hub.signing import SIGNATURE

Kind = Literal["supernet", "model"]

TAG = "snt-zoo"
"""The tag by which repositories are found."""
HUB_CARD = "README.md"
KEPT_CARD = "card.md"
EVAL_RESULTS = ".eval_results/snt-zoo.yaml"
GENOTYPE = "genotype.json"
REPORT = "report.json"
MODEL_LIMITS = {
    CONFIG: CONFIG_LIMIT,
    MODEL: FILE_LIMITS[MODEL],
    GENOTYPE: CONFIG_LIMIT,
    REPORT: CONFIG_LIMIT,
    MANIFEST: FILE_LIMITS[MANIFEST],
}
"""Most bytes of each file of a derived model."""

OWNED = frozenset({*FILE_LIMITS, *MODEL_LIMITS, KEPT_CARD, EVAL_RESULTS, SIGNATURE})
"""What a push writes, and may therefore replace or delete; `README.md` under its own rule."""

_HARMLESS = {
    ".bib", ".cff", ".csv", ".gif", ".html", ".jpeg", ".jpg", ".json", ".md", ".pdf", ".png", ".rst",
    ".safetensors", ".sig", ".svg", ".txt", ".webp", ".yaml", ".yml",
}  # fmt: skip
_HARMLESS_NAMES = {".gitattributes", ".gitignore", "LICENSE", "NOTICE", "COPYING", "AUTHORS"}


def kind_of(names: Iterable[str], *, what: str) -> Kind:
    """What a repository holds, by the names of its files.

    Raises:
        ForbiddenFileError: a file is of a type that has no place beside a supernet.
        MissingFileError: it is neither a supernet nor a derived model.
    """
    found = set(names)
    for name in sorted(found):
        check_name(name, what=what)
    if found >= {CONFIG, MODEL, DATASET, MANIFEST} and found & {KEPT_CARD, HUB_CARD}:
        return "supernet"
    if found >= {CONFIG, MODEL, GENOTYPE, MANIFEST}:
        return "model"
    raise MissingFileError(
        f"{what} holds neither a supernet nor a derived model of snt-zoo: expected {CONFIG}, {MODEL}, "
        f"{MANIFEST} and {DATASET} or {GENOTYPE}; `snt-zoo push` writes them all"
    )


def check_name(name: str, *, what: str) -> None:
    """Raise `ForbiddenFileError` for a file that makes a repository suspect."""
    path = PurePosixPath(name)
    odd = name.startswith("/") or "\\" in name or not name.isprintable() or ".." in path.parts
    if odd or not (path.suffix.lower() in _HARMLESS or path.name in _HARMLESS_NAMES):
        raise ForbiddenFileError(
            f"{what} holds {ascii(name)[:120]}, which has no place beside a supernet: nothing was "
            "downloaded; ask its owner to take it out"
        )


def wanted(kind: Kind, names: Iterable[str]) -> dict[str, str]:
    """The files to download, by their names in the repository; the values are their local names."""
    found = set(names)
    if kind == "model":
        return {name: name for name in (MANIFEST, CONFIG, GENOTYPE, REPORT, MODEL) if name in found}
    card = KEPT_CARD if KEPT_CARD in found else HUB_CARD
    return {MANIFEST: MANIFEST, CONFIG: CONFIG, DATASET: DATASET, card: CARD, MODEL: MODEL}


def limits(kind: Kind) -> Mapping[str, int]:
    """Most bytes of each file, by local name."""
    return FILE_LIMITS if kind == "supernet" else MODEL_LIMITS
