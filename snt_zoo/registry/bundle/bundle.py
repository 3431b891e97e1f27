"""A bundle, format 1: a folder with a supernet, what it was trained on and where it comes from.

Five files (see the design): `config.json`, `model.safetensors`, `dataset.safetensors`, `README.md`
and `manifest.json` with the sha256 of the others. Safetensors and JSON only: no pickle is read and
no code of a bundle is run. Equal input gives equal bytes, so the manifest's sha256 names the
bundle's content.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from snt_zoo.encoders.sketch import Sketch
from snt_zoo.errors import BundleError, ConfigError, IntegrityError
from snt_zoo.formats.durable import is_empty_folder, made_whole
from snt_zoo.formats.tensor_file import dump_tensors, load_tensors, parse_header
from snt_zoo.networks.supernet import Supernet
from snt_zoo.networks.trial import check_forward
from snt_zoo.registry.bundle.folder import (
    CARD,
    CONFIG,
    DATASET,
    FILE_LIMITS,
    MANIFEST,
    MODEL,
    MODEL_HEADER_LIMIT,
    check_folder,
    open_file,
    read_file,
)
from snt_zoo.registry.bundle.manifest import LISTED, Manifest, read_manifest, write_manifest
from snt_zoo.registry.bundle.model_card import model_card
from snt_zoo.registry.bundle.schema import BundleConfig
from snt_zoo.registry.bundle.sketch_file import check_sketches, dump_sketches, load_sketches
from snt_zoo.registry.bundle.weights import blueprint, check_claims, check_spec, pack, stored_spec, unpack


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle in memory.

    Args:
        config: everything that is no tensor.
        supernet: float32, in eval mode, on the CPU.
        sketches: of the datasets that it was trained on.
        digest: sha256 of the manifest, hex.
    """

    config: BundleConfig
    supernet: Supernet
    sketches: tuple[Sketch, ...]
    digest: str

    @property
    def id(self) -> str:
        """Name and start of the digest: the same content has the same id everywhere."""
        return bundle_id(self.config, self.digest)


def bundle_id(config: BundleConfig, digest: str) -> str:
    """The id of a bundle with that config and that sha256 of its manifest."""
    return f"{config.name}-{digest[:8]}"


def check_target(folder: Path) -> None:
    """Raise `BundleError` unless a bundle can be written there: asked before a training, not after it."""
    folder = folder.absolute()
    _check_unused(folder)
    try:
        there = folder.exists()
        with made_whole(folder) as partial:
            (partial / MANIFEST).touch()
        (folder / MANIFEST).unlink()
        if not there:
            folder.rmdir()
    except OSError as error:
        raise BundleError(f"cannot write the bundle to {folder}: {error}") from error


def _check_unused(folder: Path) -> None:
    if os.path.lexists(folder) and not is_empty_folder(folder):
        raise BundleError(f"{folder} must not exist yet, or be an empty folder: choose another one")


def write_bundle(
    folder: str | os.PathLike[str],
    *,
    supernet: Supernet,
    config: BundleConfig,
    sketches: Sequence[Sketch],
) -> Path:
    """Write a bundle, whole or not at all.

    It is written beside `folder`, read back through every check, and only then put in place.

    Args:
        folder: where to; must not exist, or be empty.
        supernet: float32, on any device.
        config: `describe(supernet)` gives the fields that follow from the weights.
        sketches: 1 to 256, made by the config's backbone.

    Returns:
        The folder.

    Raises:
        BundleError: the folder holds something, or cannot be written.
        ConfigError: the config does not describe this supernet or these sketches.
        NonFiniteError: a weight is NaN or infinite, also after rounding to float16.

    Example:
        >>> config = BundleConfig.from_data({**describe(net), **provenance})  # doctest: +SKIP
        >>> write_bundle("out/", supernet=net, config=config, sketches=[sketch])  # doctest: +SKIP
    """
    folder = Path(folder).absolute()
    _check_unused(folder)
    if supernet.config.to_json() != config.network.to_network().to_json():
        raise ConfigError(
            "config.json: network: must describe the supernet that is written: take it from "
            "snt_zoo.registry.describe()"
        )
    contents = {
        CONFIG: config.to_bytes(),
        MODEL: dump_tensors(pack(supernet, config.dtype)),
        DATASET: dump_sketches(sketches),
        CARD: model_card(config).encode("utf-8"),
    }
    try:
        with made_whole(folder) as partial:
            for name, content in contents.items():
                (partial / name).write_bytes(content)
            write_manifest(partial)
            read_bundle(partial)
    except OSError as error:
        raise BundleError(f"cannot write the bundle to {folder}: {error}") from error
    return folder


def copy_bundle(bundle: Path, folder: Path, *, digest: str) -> Path:
    """Copy a bundle out of a registry, whole or not at all; every hash is checked.

    The copy is a folder of one's own, to be kept, edited or sent; `Registry.add` takes it back.

    Args:
        bundle: its folder in the store.
        folder: where to; must not exist, or be empty.
        digest: that it must have.

    Returns:
        The folder. Its files are copies: to write to them does not touch the registry.

    Raises:
        BundleError: the folder holds something, or cannot be written, or the bundle is damaged.
    """
    folder = folder.absolute()
    _check_unused(folder)
    check_folder(bundle)
    try:
        with made_whole(folder) as partial:
            for name in FILE_LIMITS:
                with open_file(bundle, name) as source, (partial / name).open("xb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
            manifest = read_manifest(partial)
            if manifest.digest != digest:
                raise IntegrityError(
                    f"{bundle / MANIFEST} is not that of {bundle.name}: run `snt-zoo verify --repair`"
                )
            for name in LISTED:
                manifest.check(partial, name)
    except OSError as error:
        raise BundleError(f"cannot write the bundle to {folder}: {error}") from error
    return folder


def read_bundle(folder: str | os.PathLike[str], *, verify: bool = True, known: str | None = None) -> Bundle:
    """Read a bundle, trusting nothing in it.

    Args:
        folder: of the bundle.
        verify: False skips the sha256 of the model and the card, whether the config's figures
            are those of the network and of the sketches, and whether a pass gives numbers. Format,
            names, shapes, types and finite values are checked always.
        known: digest of a bundle that was read before: the manifest must have it, and the figures
            and the pass are not computed again, which would take a second or two in a new process.

    Returns:
        The bundle.

    Raises:
        MissingFileError, ForbiddenFileError, IntegrityError, ConfigError, TensorError,
        NonFiniteError:
            see `snt_zoo.errors`; each names the file, and the field or the tensor.
    """
    folder = Path(folder)
    manifest = _open(folder, verify=verify, known=known)
    config, sketches = _read_light(folder, manifest)
    if verify and known is None:
        check_sketches(config, sketches)
    net = blueprint(config.network.to_network())
    with open_file(folder, MODEL) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(8 + MODEL_HEADER_LIMIT)
        header = parse_header(head, what=MODEL, limit=MODEL_HEADER_LIMIT, size=size)
        # Before the rest is read: a file of another network's size costs no memory.
        check_spec(header.tensors, stored_spec(net, config.dtype))
        raw = head + file.read(size - len(head))
    tensors, _ = load_tensors(raw, what=MODEL, limit=MODEL_HEADER_LIMIT)
    supernet = unpack(tensors, net, config.dtype)
    if verify and known is None:
        check_claims(config, supernet)
        check_forward(supernet, what=MODEL)
    return Bundle(config, supernet, sketches, manifest.digest)


def read_header(
    folder: str | os.PathLike[str], *, known: str | None = None
) -> tuple[BundleConfig, tuple[Sketch, ...], str]:
    """Config, sketches and digest of a bundle, without its weights.

    `known` is as in `read_bundle`, and so is what is raised; of the model and the card only the
    sizes are compared.
    """
    folder = Path(folder)
    manifest = _open(folder, verify=False, known=known)
    config, sketches = _read_light(folder, manifest)
    return config, sketches, manifest.digest


def read_sketches(folder: Path, *, known: str, alone: bool = False) -> tuple[Sketch, ...]:
    """The sketches of a bundle that was read before.

    Args:
        folder: of the bundle.
        known: its digest, by which its config is the one that was understood then.
        alone: look at no other file but the manifest, which takes half of the time: for a process that keeps
            sketches, and so would not see a damage of the others that comes later.

    Raises:
        BundleError: it was changed or damaged since.
    """
    manifest = _opened(folder, known) if alone else _open(folder, verify=False, known=known)
    raw = {name: read_file(folder, name) for name in ((DATASET,) if alone else (CONFIG, DATASET))}
    for name, content in raw.items():
        manifest.check_bytes(name, content)
    return load_sketches(raw[DATASET], backbone=None)


def _open(folder: Path, *, verify: bool, known: str | None) -> Manifest:
    check_folder(folder)
    manifest = _opened(folder, known)
    for name in LISTED:
        if verify:
            manifest.check(folder, name)
        else:
            manifest.check_size(folder, name)
    return manifest


def _opened(folder: Path, known: str | None) -> Manifest:
    manifest = read_manifest(folder)
    if known is not None and manifest.digest != known:
        raise IntegrityError(
            f"{folder / MANIFEST} must have sha256 {known[:12]}…, has {manifest.digest[:12]}…: it was "
            "changed or damaged, remove the bundle and add it again"
        )
    return manifest


def _read_light(folder: Path, manifest: Manifest) -> tuple[BundleConfig, tuple[Sketch, ...]]:
    raw = {name: read_file(folder, name) for name in (CONFIG, DATASET)}
    for name, content in raw.items():
        manifest.check_bytes(name, content)
    config = BundleConfig.from_bytes(raw[CONFIG])
    return config, load_sketches(raw[DATASET], backbone=config.backbone)
