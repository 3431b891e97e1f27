"""`Zoo`: a registry and a Hub, and what can be done with them. Each method is a workflow."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from pathlib import Path

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE
from snt_zoo.encoders.sketch import Sketch, sketch
from snt_zoo.networks.supernet import Supernet
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.registry import Record, Registry
from snt_zoo.registry.remote.opening import open_registry
from snt_zoo.workflows.compare import compare
from snt_zoo.workflows.finetune import finetune
from snt_zoo.workflows.pretrain import pretrain
from snt_zoo.workflows.query import query
from snt_zoo.workflows.share import origin, pull, push, sync
from snt_zoo.workflows.verify import verify


class Zoo:
    """A registry of pretrained supernets, what retrieves from it and what adapts its supernets.

    Open one with `Zoo.open`.

    Args:
        registry: the user's.
        hub: by default the one that the environment names (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`).

    Example:
        >>> import snt_zoo
        >>> zoo = snt_zoo.Zoo.open()  # doctest: +SKIP
        >>> data = snt_zoo.open_dataset("photos/")  # doctest: +SKIP
        >>> result = zoo.finetune("auto", data, budget="10m")  # doctest: +SKIP
    """

    query = query
    distance = compare
    finetune = finetune
    pretrain = staticmethod(pretrain)
    push = push
    pull = pull
    sync = sync
    origin = origin
    verify = staticmethod(verify)

    def __init__(self, registry: Registry, *, hub: HubClient | None = None) -> None:
        self.registry = registry
        self._hub = hub

    @classmethod
    def open(
        cls, home: str | Path | None = None, *, starter: bool = True, hub: HubClient | None = None
    ) -> Zoo:
        """The zoo of a registry folder, or of a retrieval service (`snt-zoo serve`).

        Args:
            home: the folder; by default `$SNT_ZOO_HOME`, else the platform's place for user data. Or the URL
                of a service, as `http://127.0.0.1:8765`; its token is taken from `SNT_ZOO_TOKEN`.
            starter: put the starter zoo in, once; a starter supernet that was removed stays away.
            hub: as of `Zoo`.
        """
        return cls(open_registry(home, starter=starter), hub=hub)

    @cached_property
    def hub(self) -> HubClient:
        """The Hub that is asked; its library is imported when it is first needed."""
        return self._hub or HubClient()

    def sketch(self, data: ImageDataset, *, backbone: str = DEFAULT_BACKBONE) -> Sketch:
        """The sketch of a dataset: all that a query needs of it."""
        return sketch(data, backbone=backbone)

    def load(self, id: str) -> Supernet:
        """A supernet of the registry; `id` is as of `show`, and it raises as `show` and `Registry.get` do."""
        return self.registry.get(self.registry.resolve(id)).supernet

    def list(
        self,
        where: Filter | None = None,
        *,
        space: str | None = None,
        max_params: int | None = None,
        max_macs: int | None = None,
        tag: str | None = None,
    ) -> list[Record]:
        """The supernets in the registry that fit, by name; see `Registry.list`."""
        return self.registry.list(where, space=space, max_params=max_params, max_macs=max_macs, tag=tag)

    def show(self, id: str) -> Record:
        """Everything that is known of a supernet.

        Args:
            id: its id, its name, a beginning that fits only one, `NAME@ALIAS` or `NAME@DIGEST`.

        Raises:
            NotInRegistryError: none fits, or several.
        """
        return self.registry.show(self.registry.resolve(id))

    def add(self, folder: str | Path, *, tags: Collection[str] = (), aliases: Collection[str] = ()) -> Record:
        """Check a bundle and copy it into the registry; see `Registry.add`.

        Raises:
            BundleError: the bundle is refused; the registry stays as it was.
            AlreadyInRegistryError: it is there already.
        """
        return self.registry.add(folder, tags=tags, aliases=aliases)

    def remove(self, id: str) -> str:
        """Remove a supernet from the registry; returns its full id.

        Raises:
            NotInRegistryError: none fits, or several.
        """
        full = self.registry.resolve(id)
        self.registry.remove(full)
        return full
