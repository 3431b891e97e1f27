"""JSON from outside, as bundles read it; the reader is shared with model folders, see `snt_zoo.formats`."""

from snt_zoo.formats.strict_json import dump_json, parse_json

__all__ = ["dump_json", "parse_json"]
