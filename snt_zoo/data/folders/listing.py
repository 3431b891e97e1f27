"""Lists a dataset's folder once, and keeps count of what is passed over.

What is found does not depend on the order in which the disk lists it: entries are sorted naturally, `2`
before `10`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from snt_zoo.data.passed_over import PassedOver, Reason
from snt_zoo.data.signatures import format_of, readable_formats

# What systems, file managers and tools put beside people's images, without regard to case. A name that
# begins with a dot is hidden.
_SYSTEM = frozenset((
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "__macosx", "temporary items",
    "network trash folder", "system volume information", "$recycle.bin", "lost+found",
    "found.000", "@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot",
    "ipod photo cache", "__pycache__", "node_modules", "site-packages", "mlruns", "wandb", "lightning_logs",
))  # fmt: skip
_UNFINISHED = ("~", ".bak", ".orig", ".tmp", ".part", ".partial", ".crdownload", ".download", ".swp")

# Folders that programs such as this one write, if there are weights of a network in them, or nothing. The one
# of a model may have any name.
_OUTPUTS = frozenset(("runs", "outputs", "checkpoints"))
_WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".h5", ".keras", ".onnx")

Identity = tuple[int, int]


@dataclass(frozen=True)
class Look:
    """What lies directly in a folder.

    Args:
        entries: paths of images and folders that are not passed over, sorted; whether each is a folder.
        unread: pictures in formats that are not read here.
        others: whether there are files that are no pictures.
    """

    entries: dict[str, bool]
    unread: tuple[str, ...]
    others: bool

    @property
    def folders(self) -> list[str]:
        """Paths of the folders, sorted."""
        return [path for path, is_folder in self.entries.items() if is_folder]

    @property
    def images(self) -> list[str]:
        """Paths of the images, sorted."""
        return [path for path, is_folder in self.entries.items() if not is_folder]


@dataclass
class Below:
    """What lies in a folder at any depth: see `Look`."""

    images: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    others: bool = False


@dataclass
class Listing:
    """A walk through one folder.

    Args:
        root: The dataset's folder.
    """

    root: Path
    _passed: dict[Reason, dict[str, None]] = field(default_factory=dict)  # sets that keep their order
    _links_out: dict[str, None] = field(default_factory=dict)
    _looks: dict[str, Look] = field(default_factory=dict)
    _reals: dict[str, str] = field(default_factory=dict)

    @property
    def passed_over(self) -> PassedOver:
        """What was passed over so far, by reason."""
        return {reason: tuple(paths) for reason, paths in self._passed.items() if paths}

    @property
    def links_out(self) -> tuple[str, ...]:
        """Links that lead out of the folder, and were followed."""
        return tuple(self._links_out)

    def pass_over(self, reason: Reason, paths: Iterable[str]) -> None:
        """Count some files, or folders with all that is in them, as passed over."""
        self._passed.setdefault(reason, {}).update((self._shown(path), None) for path in paths)

    def look(self, folder: str | Path) -> Look:
        """What lies directly in a folder, which is listed once.

        Raises:
            OSError: It cannot be listed.
        """
        path = os.fspath(folder)
        if path not in self._looks:
            self._looks[path] = self._list(path)
        return self._looks[path]

    def below(self, folder: str | Path, seen: set[Identity]) -> Below:
        """What lies in a folder at any depth, sorted.

        Args:
            folder: where to begin.
            seen: folders that are not entered; those that are entered are added.

        Raises:
            OSError: A folder cannot be listed.
        """
        found = Below()
        open_folders = [self._enter(os.fspath(folder), found)]
        while open_folders:  # no recursion: a path can have two thousand folders
            path, is_folder = next(open_folders[-1], ("", False))
            if not path:
                open_folders.pop()
            elif not is_folder:
                found.images.append(path)
            elif (identity := identity_of(path)) in seen:
                self.pass_over("link", [path])
            else:
                seen.add(identity)
                open_folders.append(self._enter(path, found))
        return found

    def _enter(self, folder: str, found: Below) -> Iterator[tuple[str, bool]]:
        look = self.look(folder)
        found.unread += look.unread
        found.others |= look.others
        return iter(look.entries.items())

    def _list(self, folder: str) -> Look:
        with os.scandir(folder) as entries:
            sorted_entries = sorted(entries, key=lambda entry: natural(entry.name))
        taken: dict[str, bool] = {}
        passed: dict[Reason, list[str]] = {}
        for entry in sorted_entries:
            kind = self._kind(entry)
            if kind == "folder" or kind == "image":
                taken[entry.path] = kind == "folder"
                if entry.is_symlink() and self._leads_out(entry.path):
                    self._links_out[self._shown(entry.path)] = None
            else:
                passed.setdefault(kind, []).append(entry.path)
        for reason, paths in passed.items():
            self.pass_over(reason, paths)
        return Look(taken, tuple(passed.get("other_format", ())), "no_image" in passed)

    def _kind(self, entry: os.DirEntry[str]) -> Reason | Literal["folder", "image"]:
        """What an entry is, or why it is passed over."""
        name = entry.name.casefold()
        if name.startswith("."):
            return "hidden"
        if name in _SYSTEM:
            return "system"
        if _is_folder(entry):
            if entry.is_symlink() and identity_of(entry.path) in self._above:
                return "link"
            is_output = _is_model(entry.path) or (name in _OUTPUTS and _holds_outputs(entry.path))
            return "system" if is_output else "folder"
        if name.endswith(_UNFINISHED):
            return "system"
        picture = format_of(entry.path)
        if picture is None:
            return "no_image" if Path(entry.path).exists() else "link"
        return "image" if picture in readable_formats() else "other_format"

    def _leads_out(self, link: str) -> bool:
        # The folders are kept: a dataset can have a link for each image, and few folders that they lead to.
        target = Path(link).parent / os.readlink(link)  # noqa: PTH115  (a text is enough)
        parent = os.fspath(target.parent)
        if parent not in self._reals:
            self._reals[parent] = os.path.join(os.path.realpath(parent), "")  # noqa: PTH118
        return not f"{self._reals[parent]}{target.name}/".startswith(self._real)

    def _shown(self, path: str) -> str:
        return os.path.relpath(path, self.root) + "/" * Path(path).is_dir()

    @cached_property
    def _real(self) -> str:
        return os.path.join(os.path.realpath(self.root), "")  # noqa: PTH118

    @cached_property
    def _above(self) -> frozenset[Identity]:
        """The root and the folders that it lies in: a link to one of them leads back."""
        root = self.root.resolve()
        return frozenset(identity_of(path) for path in (root, *root.parents))


def natural(name: str) -> tuple[list[str | int], str]:
    """A key that sorts names as people count."""
    # Every odd part is a number, so that only like is compared with like.
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def identity_of(path: str | Path) -> Identity:
    """What is the same for a folder and for each link to it."""
    status = Path(path).stat()
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def _is_model(folder: str) -> bool:
    return all(Path(folder, name).exists() for name in ("config.json", "model.safetensors"))


def _holds_outputs(folder: str) -> bool:
    names = [name.lower() for _, _, files in os.walk(folder) for name in files]
    return not names or any(name.endswith(_WEIGHTS) or ".tfevents." in name for name in names)
