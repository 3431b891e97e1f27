from __future__ import annotations

from pathlib import Path

from snt_zoo.data.image_store import WHOLE_FILE_LIMIT, digest_file


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
