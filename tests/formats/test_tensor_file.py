from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load

from snt_zoo.errors import TensorError
from snt_zoo.formats.tensor_file import DTYPES, dump_tensors, load_tensors, parse_header

G = torch.Generator().manual_seed(0)
TENSORS = {
    name: torch.randint(-(2**15), 2**15, (3, 5), generator=G).to(torch.int16).repeat(1, 4).view(dtype)[:, 1:]
    for name, (dtype, _) in DTYPES.items()
}  # any bits, so some of the floats are no numbers; not contiguous


def file_of(header: object, data: bytes = bytes(16)) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_every_bit_is_kept_and_equal_tensors_give_equal_bytes() -> None:
    raw = dump_tensors(TENSORS, {"b": "2", "a": "ü"})
    turned = {name: tensor.contiguous() for name, tensor in reversed(TENSORS.items())}
    assert dump_tensors(turned, {"a": "ü", "b": "2"}) == raw
    found, metadata = load_tensors(raw, what="x", limit=10_000)
    assert metadata == {"a": "ü", "b": "2"}
    for other in (found, load(raw)):  # the library reads the same
        assert other.keys() == TENSORS.keys()
        for name, tensor in other.items():
            assert tensor.dtype == TENSORS[name].dtype
            assert torch.equal(tensor.view(torch.int16), TENSORS[name].contiguous().view(torch.int16))
    start = 8 + int.from_bytes(raw[:8], "little")
    offsets = {
        name: entry["data_offsets"][0] for name, entry in json.loads(raw[8:start]).items() if name[0] != "_"
    }
    assert all((start + offset) % TENSORS[name].element_size() == 0 for name, offset in offsets.items())


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"a": ("F32", [2], [0, 8]), "b": ("F32", [2], [4, 12])}, "a gap or an overlap at 4"),
        ({"a": ("F32", [2], [0, 8]), "b": ("F32", [1], [12, 16])}, "a gap or an overlap at 12"),
        ({"a": ("F32", [3], [0, 12])}, "the tensors take 12 bytes, the file has 16"),
        ({"a": ("F32", [4], [0, 8])}, "must take 16 bytes"),
        ({"a": ("F64", [2], [0, 16])}, "must be of type F32, F16, I64, I16, got 'F64'"),
        ({"a": ("F32", [True, 4], [0, 16])}, "at most 8 whole numbers"),
    ],
)
def test_a_header_that_the_data_do_not_bear_out_is_refused(entries: dict[str, tuple], told: str) -> None:
    header = {k: dict(zip(("dtype", "shape", "data_offsets"), v, strict=True)) for k, v in entries.items()}
    with pytest.raises(TensorError, match=told):
        parse_header(file_of(header), what="x", limit=10_000)
    with pytest.raises(TensorError, match="cut off, or no safetensors file"):
        parse_header(file_of(header)[:20], what="x", limit=10_000)
