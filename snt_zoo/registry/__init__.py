"""The registry: bundles of supernets, where they are kept, and how the nearest ones are found.

Its rooms, each of which imports only those before it: `bundle` is the folder format with its guards;
`store` keeps bundles on the disk, `catalog` what is known of them, `index` their vectors; `upkeep` changes
all of these together and keeps them in order; `hub` speaks to the Hugging Face Hub. On top `registry`, with
the half of it that is `household`, is what all this is used through, and `retrieval` finds the nearest.
"""

from typing import TYPE_CHECKING

from snt_zoo.exports import exports

if TYPE_CHECKING:
    from snt_zoo.registry.bundle.bundle import Bundle, read_bundle, read_header, write_bundle
    from snt_zoo.registry.bundle.schema import BundleConfig
    from snt_zoo.registry.bundle.weights import as_stored, describe
    from snt_zoo.registry.catalog.filters import Bound, Filter
    from snt_zoo.registry.catalog.records import Record
    from snt_zoo.registry.registry import Registry

_HOMES = {
    "Bound": "snt_zoo.registry.catalog.filters",
    "Bundle": "snt_zoo.registry.bundle.bundle",
    "BundleConfig": "snt_zoo.registry.bundle.schema",
    "Filter": "snt_zoo.registry.catalog.filters",
    "Record": "snt_zoo.registry.catalog.records",
    "Registry": "snt_zoo.registry.registry",
    "as_stored": "snt_zoo.registry.bundle.weights",
    "describe": "snt_zoo.registry.bundle.weights",
    "read_bundle": "snt_zoo.registry.bundle.bundle",
    "read_header": "snt_zoo.registry.bundle.bundle",
    "write_bundle": "snt_zoo.registry.bundle.bundle",
}

__all__ = [
    "Bound",
    "Bundle",
    "BundleConfig",
    "Filter",
    "Record",
    "Registry",
    "as_stored",
    "describe",
    "read_bundle",
    "read_header",
    "write_bundle",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
