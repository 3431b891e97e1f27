"""A record: what the catalog knows of one bundle, enough to list and to filter without opening it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snt_zoo.errors import IntegrityError
from snt_zoo.formats.strict_json import parse_json
from snt_zoo.registry.bundle.folder import CONFIG, CONFIG_LIMIT, read_file
from snt_zoo.registry.bundle.manifest import read_manifest

if TYPE_CHECKING:
    from snt_zoo.registry.bundle.schema import BundleConfig


@dataclass(frozen=True)
class Candidate:
    """What a query must know of a supernet, wherever it is, before it compares sketches.

    Args:
        id: name and start of the digest.
        name: of the bundle; several versions may share one.
        digest: sha256 of its manifest, hex: the version. Equal digests are equal bundles.
        space: search space.
        params: weights of the network derived from its genotype.
        macs: multiply-accumulates of that network for one image.
        sources: names of the datasets it was trained on.
        tags: as its author gave them; in a registry some may have been added or removed.
        licence: SPDX id or text.
    """

    id: str
    name: str
    digest: str
    space: str
    params: int
    macs: int
    sources: tuple[str, ...]
    tags: tuple[str, ...]
    licence: str


@dataclass(frozen=True)
class Record(Candidate):
    """One bundle of the registry: one version of what its name stands for.

    Args:
        supernet_params: weights of the supernet.
        val_accuracy: from 0 to 1, of the derived network; None if not measured.
        test_accuracy: likewise.
        backbone: id of the backbone that made its sketches.
        encoder: id of the encoder that made its vectors in this registry.
        added_at: when, ISO 8601, UTC.
        path: its folder; not to be written to.
        size: bytes of its files.
        parent: id of the supernet that its training began with; None from scratch.
        fingerprints: of the datasets it was trained on, in the order of `sources`.
        seed: of its training; None where it is not known.
        code_version: of the snt-zoo that trained it.
        aliases: names that stand for this version now, as `latest`.
    """

    supernet_params: int
    val_accuracy: float | None
    test_accuracy: float | None
    backbone: str
    encoder: str
    added_at: str
    path: Path
    size: int = 0
    parent: str | None = None
    fingerprints: tuple[str, ...] = ()
    seed: int | None = None
    code_version: str | None = None
    aliases: tuple[str, ...] = ()

    @cached_property
    def config(self) -> BundleConfig:
        """Everything else, read from the bundle's `config.json` when it is asked for.

        Raises:
            MissingFileError: the bundle was removed meanwhile.
        """
        from snt_zoo.registry.bundle.schema import BundleConfig

        return BundleConfig.from_bytes(read_file(self.path, CONFIG))

    def document(self) -> dict[str, Any]:
        """The content of `config.json`, which was understood when the bundle was added.

        Raises:
            IntegrityError: it has changed since, or its manifest has.
            MissingFileError: the bundle was removed meanwhile.
        """
        manifest = read_manifest(self.path)
        if manifest.digest != self.digest:
            raise IntegrityError(f"{self.path} was changed or damaged: run `snt-zoo verify --repair`")
        raw = read_file(self.path, CONFIG)
        manifest.check_bytes(CONFIG, raw)
        return parse_json(raw, what=CONFIG, limit=CONFIG_LIMIT)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the network's outputs."""
        return self.config.class_names

    @classmethod
    def of(
        cls,
        config: BundleConfig,
        *,
        id: str,
        digest: str,
        encoder: str,
        added_at: str,
        path: Path,
        size: int = 0,
    ) -> Record:
        """The record of a bundle with that config."""
        return cls(
            id=id,
            digest=digest,
            encoder=encoder,
            added_at=added_at,
            path=path,
            size=size,
            tags=tuple(dict.fromkeys(config.tags)),
            **facts(config),
        )


def facts(config: BundleConfig) -> Mapping[str, Any]:
    """The fields of a record that follow from the bundle alone, so that they can be made again."""
    return {
        "name": config.name,
        "space": config.network.space,
        "params": config.params,
        "macs": config.macs,
        "supernet_params": config.supernet_params,
        "sources": tuple(source.name for source in config.training.datasets),
        "val_accuracy": config.metrics.val_accuracy,
        "test_accuracy": config.metrics.test_accuracy,
        "licence": config.licence,
        "backbone": config.backbone,
        "parent": config.training.parent,
        "fingerprints": tuple(source.fingerprint for source in config.training.datasets),
        "seed": config.training.seed,
        "code_version": config.training.code_version,
    }
