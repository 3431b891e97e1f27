"""The registry: bundles of supernets, where they are kept, and how the nearest ones are found.

`bundle` is the folder format with its guards; `store` keeps bundles on the disk and `blobs` their
files, `catalog` what is known of them, `aliases` what their versions are called, `index` their vectors;
`registry` joins these, and `household` keeps them in order.
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
