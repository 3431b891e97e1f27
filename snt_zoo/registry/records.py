"""A record: what the catalog knows of one bundle, enough to list and to filter without opening
it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from snt_zoo.registry.guards import CONFIG, read_file
from snt_zoo.registry.schema import BundleConfig


@dataclass(frozen=True)
class Record:
    """One bundle of the registry.

    Args:
        id: name and start of the digest.
        name: of the bundle; several versions may share one.
        digest: sha256 of its manifest, hex.
        space: search space.
        params: weights of the network derived from its genotype.
        macs: multiply-accumulates of that network for one image.
        supernet_params: weights of the supernet.
        sources: names of the datasets it was trained on.
        tags: as its author gave them.
        val_accuracy: from 0 to 1, of the derived network; None if not measured.
        test_accuracy: likewise.
        licence: SPDX id or text.
        backbone: id of the backbone that made its sketches.
        encoder: id of the encoder that made its vectors in this registry.
        added_at: when, ISO 8601, UTC.
        path: its folder; not to be written to.
    """

    id: str
    name: str
    digest: str
    space: str
    params: int
    macs: int
    supernet_params: int
    sources: tuple[str, ...]
    tags: tuple[str, ...]
    val_accuracy: float | None
    test_accuracy: float | None
    licence: str
    backbone: str
    encoder: str
    added_at: str
    path: Path

    @cached_property
    def config(self) -> BundleConfig:
        """Everything else, read from the bundle's `config.json` when it is asked for.

        Raises:
            MissingFileError: the bundle was removed meanwhile.
        """
        return BundleConfig.from_bytes(read_file(self.path, CONFIG))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the network's outputs."""
        return self.config.class_names

    @classmethod
    def of(
        cls, config: BundleConfig, *, id: str, digest: str, encoder: str, added_at: str, path: Path
    ) -> Record:
        """The record of a bundle with that config."""
        return cls(
            id=id,
            name=config.name,
            digest=digest,
            space=config.network.space,
            params=config.params,
            macs=config.macs,
            supernet_params=config.supernet_params,
            sources=tuple(source.name for source in config.training.datasets),
            tags=config.tags,
            val_accuracy=config.metrics.val_accuracy,
            test_accuracy=config.metrics.test_accuracy,
            licence=config.licence,
            backbone=config.backbone,
            encoder=encoder,
            added_at=added_at,
            path=path,
        )
