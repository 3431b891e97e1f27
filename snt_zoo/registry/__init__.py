"""The registry: bundles of supernets, where they are kept, and how the nearest ones are found.

`bundle` is the folder format with its guards; `store` keeps bundles on the disk, `catalog` what is
known of them, `index` finds their vectors; `registry` joins the three.
"""

from snt_zoo.registry.bundle import Bundle, read_bundle, read_header, write_bundle
from snt_zoo.registry.records import Record
from snt_zoo.registry.registry import Registry
from snt_zoo.registry.schema import BundleConfig
from snt_zoo.registry.weights import as_stored, describe

__all__ = [
    "Bundle",
    "BundleConfig",
    "Record",
    "Registry",
    "as_stored",
    "describe",
    "read_bundle",
    "read_header",
    "write_bundle",
]
