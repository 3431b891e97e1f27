"""What a sync keeps of a repository."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snt_zoo.errors import RegistryError
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.supernet import NetworkConfig
from snt_zoo.registry.bundle.schema import BundleConfig, GenotypeEntry, NetworkEntry
from snt_zoo.registry.catalog.records import Candidate


@dataclass(frozen=True)
class RemoteRecord(Candidate):
    """A supernet on the Hub, by what its author says of it; `id` is what it will have in the registry.

    Args:
        repo: ``owner/name``.
        commit: at which it was seen.
        source_licences: of the datasets that it was trained on, each once.
        network: config of its supernet, as JSON.
        genotype: that it derives to, as JSON.
    """

    repo: str
    commit: str
    source_licences: tuple[str, ...]
    network: str
    genotype: str

    def derived(self) -> tuple[NetworkConfig, Genotype]:
        """Config and genotype of the network that it derives to.

        Raises:
            RegistryError: what was kept of it cannot be read.
        """
        try:
            network = NetworkEntry.model_validate_json(self.network)
            return network.to_network(), GenotypeEntry.model_validate_json(self.genotype).to_genotype()
        except ValueError as error:
            raise RegistryError(
                f"what was kept of {self.repo} cannot be read: run `snt-zoo sync` anew"
            ) from error

    @classmethod
    def of(cls, config: BundleConfig, *, id: str, digest: str, repo: str, commit: str) -> RemoteRecord:
        """The record of a supernet with that config."""
        return cls(
            id=id,
            name=config.name,
            digest=digest,
            space=config.network.space,
            params=config.params,
            macs=config.macs,
            sources=tuple(source.name for source in config.training.datasets),
            tags=config.tags,
            licence=config.licence,
            repo=repo,
            commit=commit,
            source_licences=tuple(dict.fromkeys(config.source_licences.values())),
            network=config.network.model_dump_json(),
            genotype=config.genotype.model_dump_json(),
        )


@dataclass(frozen=True, eq=False)
class Indexed:
    """What a sync found in one repository at one commit.

    Args:
        repo: ``owner/name``.
        commit: that was looked at.
        size: bytes that were fetched.
        record: of a supernet; None if it is none that can be ranked.
        backbone: id of what made its sketches.
        sketches: content of `dataset.safetensors`.
        vectors: by the cache's encoder, of unit length, float32 ``n x dim``.
        reason: why there is no record.
        refused: whether that is for its content.
    """

    repo: str
    commit: str
    size: int
    record: RemoteRecord | None = None
    backbone: str = ""
    sketches: bytes = b""
    vectors: NDArray[np.float32] | None = None
    reason: str | None = None
    refused: bool = False
