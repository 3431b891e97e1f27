"""Safetensors as bundles read it; the reader is shared with model folders, see `snt_zoo.formats`."""

from snt_zoo.formats.tensor_file import (
    DTYPES,
    MAX_TENSORS,
    Header,
    Spec,
    dump_tensors,
    load_tensors,
    parse_header,
)

__all__ = ["DTYPES", "MAX_TENSORS", "Header", "Spec", "dump_tensors", "load_tensors", "parse_header"]
