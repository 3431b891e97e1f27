from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from snt_zoo.data import Split
from snt_zoo.data.image_store import WHOLE_FILE_LIMIT, digest_file, sides
from snt_zoo.data.stores import ArrayStore, EncodedStore


def test_a_long_file_is_named_by_its_ends_and_length(tmp_path: Path) -> None:
    path = tmp_path / "x"
    half = WHOLE_FILE_LIMIT // 2

    def digest(content: bytes) -> bytes:
        path.write_bytes(content)
        return digest_file(path)

    base = digest(b"a" * half + b"b" * 100 + b"c" * half)
    assert digest(b"x" + b"a" * (half - 1) + b"b" * 100 + b"c" * half) != base
    assert digest(b"a" * half + b"b" * 100 + b"c" * (half - 1) + b"x") != base
    assert digest(b"a" * half + b"b" * 101 + b"c" * half) != base


def test_sides_are_told_without_decoding(tmp_path: Path) -> None:
    paths = []
    for number, size in enumerate([(40, 30), (20, 90), (31, 31)]):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", size).save(paths[-1])
    paths.append(tmp_path / "3.png")
    paths[-1].write_bytes(b"no image")
    files = EncodedStore(paths)
    assert sides(files, torch.tensor([2, 0, 1, 3])) == [31, 30, 20, 0]
    split = Split(files, torch.zeros(4, dtype=torch.int64))
    assert split.side() == 30
    assert split.subset(torch.tensor([0, 1])).side() == 30
    assert Split(ArrayStore(torch.zeros(5, 28, 20, dtype=torch.uint8)), torch.zeros(5)).side() == 20


def test_a_store_that_cannot_tell_has_no_side() -> None:
    class Plain:
        def __len__(self) -> int:
            return 3

        def read(self, indices: torch.Tensor, size: int) -> torch.Tensor:
            raise AssertionError("nothing must be decoded")

    assert Split(Plain(), torch.zeros(3)).side() == 0
