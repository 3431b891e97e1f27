"""The registry: bundles of supernets, where they are kept, and how the nearest ones are found.

Its rooms, each of which imports only those before it: `bundle` is the folder format with its guards;
`store` keeps bundles on the disk, `catalog` what is known of them, `index` their vectors; `upkeep` changes
all of these together and keeps them in order; `hub` speaks to the Hugging Face Hub. On top `registry`, with
the half of it that is `household`, is what all this is used through, and `retrieval` finds the nearest.
"""

from snt_zoo.registry.bundle.bundle import Bundle, read_bundle, read_header, write_bundle
from snt_zoo.registry.bundle.schema import BundleConfig
from snt_zoo.registry.bundle.weights import as_stored, describe
from snt_zoo.registry.catalog.filters import Bound, Filter
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.registry import Registry

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
