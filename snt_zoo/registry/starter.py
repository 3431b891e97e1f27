"""The user's registry, seeded with the starter zoo that ships with the package."""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from snt_zoo.errors import ReadOnlyRegistryError, warn
from snt_zoo.registry.registry import Registry

PACKAGES = (
    "snt_zoo",
    "snt_zoo_pictures",
)  # each has bundles in its folder `starter`; `packs/` has the second


def open_registry(home: str | Path | None = None, *, starter: bool = True) -> Registry:
    """Open the registry of a folder, brought up to date; it imports torch only where bundles are read.

    Args:
        home: the folder; by default `$SNT_ZOO_HOME`, else the platform's place for user data.
        starter: put the starter zoo in, once; a starter supernet that was removed stays away.
    """
    registry = Registry.open(home)
    if registry.maker is not None and registry.maker.encoder != registry.encoder.id:
        # An earlier release embedded otherwise; the sketches are still good.
        registry.rebuild_index(from_bundles=True)
    if starter:
        try:
            registry.seed(starter_bundles())
        except ReadOnlyRegistryError as error:
            if not registry.count():
                raise
            warn(f"left out supernets of the starter zoo: {error}")
    return registry


def starter_bundles() -> list[Path]:
    """Folders of the bundles that ship with the package, and with the packs that are installed."""
    homes = [Path(str(resources.files(name))) / "starter" for name in PACKAGES if find_spec(name)]
    return sorted(path.parent for home in homes for path in home.glob("*/manifest.json"))
