"""`manifest.json`: sha256 and size of every other file; its own sha256 names the bundle.

The manifest's names are compared with the allow-list and never used as paths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from snt_zoo.errors import ConfigError, IntegrityError
from snt_zoo.formats.strict_json import dump_json, parse_json
from snt_zoo.registry.bundle.folder import (
    FILE_LIMITS,
    MANIFEST,
    hash_file,
    open_file,
    read_file,
)

LISTED = tuple(sorted(name for name in FILE_LIMITS if name != MANIFEST))
"""The files that a manifest must list, all of them and no other."""


class FileEntry(BaseModel):
    """Sha256 in hex, and size in bytes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0, le=2**53)]


class _ManifestFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format_version: Literal[1] = 1
    files: dict[str, FileEntry]


@dataclass(frozen=True)
class Manifest:
    """What a bundle's files are.

    Args:
        files: entry of each other file.
        digest: sha256 of the manifest itself, hex.
        size: bytes of the manifest itself.
    """

    files: Mapping[str, FileEntry]
    digest: str
    size: int

    @property
    def all_files(self) -> dict[str, FileEntry]:
        """Entry of every file of the bundle, the manifest's too."""
        return {**self.files, MANIFEST: FileEntry(sha256=self.digest, size=self.size)}

    @property
    def hashes(self) -> dict[str, str]:
        """Sha256 of every file of the bundle."""
        return {name: entry.sha256 for name, entry in self.all_files.items()}

    def check(self, folder: Path, name: str) -> None:
        """Raise `IntegrityError` if a file is not the one that the manifest lists."""
        self._compare(name, *hash_file(folder, name))

    def check_bytes(self, name: str, raw: bytes) -> None:
        """The same for content that was read already."""
        self._compare(name, hashlib.sha256(raw).hexdigest(), len(raw))

    def check_size(self, folder: Path, name: str) -> None:
        """Compare sizes alone, which costs nothing."""
        with open_file(folder, name) as file:
            size = file.seek(0, 2)
        self._compare(name, self.files[name].sha256, size)

    def _compare(self, name: str, sha256: str, size: int) -> None:
        expected = self.files[name]
        if size != expected.size:
            raise IntegrityError(
                f"{name} must have {expected.size:,} bytes by the manifest, has {size:,}: "
                "copy or download the bundle again"
            )
        if sha256 != expected.sha256:
            raise IntegrityError(
                f"{name} must have sha256 {expected.sha256[:12]}… by the manifest, has "
                f"{sha256[:12]}…: it was changed or damaged, copy or download the bundle again"
            )


def write_manifest(folder: Path) -> None:
    """Write the manifest of the files that stand in a folder."""
    hashes = {name: hash_file(folder, name) for name in LISTED}
    files = {name: {"sha256": sha256, "size": size} for name, (sha256, size) in hashes.items()}
    (folder / MANIFEST).write_bytes(dump_json({"format_version": 1, "files": files}))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle; raises as `parse_manifest` does."""
    return parse_manifest(read_file(folder, MANIFEST))


def parse_manifest(raw: bytes, *, listed: Collection[str] = LISTED) -> Manifest:
    """The content of a `manifest.json`.

    Args:
        raw: its bytes.
        listed: the files that it must list, and no other; those of a bundle by default.

    Raises:
        ConfigError: it is not what format 1 says, or lists other files.
    """
    data = parse_json(raw, what=MANIFEST, limit=FILE_LIMITS[MANIFEST])
    try:
        parsed = _ManifestFile.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ascii(".".join(map(str, first["loc"])))[1:-1][:200]
        raise ConfigError(f"{MANIFEST}: {path}: {first['msg']}; copy or download the bundle again") from error
    if set(parsed.files) != set(listed):
        odd = sorted(set(parsed.files) ^ set(listed))[0]
        raise ConfigError(
            f"{MANIFEST}: files must list {', '.join(sorted(listed))} and nothing else, differs in "
            f"{ascii(odd)[:80]}: the bundle was not written by snt-zoo, do not use it"
        )
    return Manifest(parsed.files, hashlib.sha256(raw).hexdigest(), len(raw))
