"""Components by name: search spaces, searchers, regularisers, distances, dataset readers, backbones.

Each kind has one `Components`, beside the class or the function type that its components are of. A new
component is one file with one decorator, in a package that imports it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Generic, TypeVar

from snt_zoo.errors import UnknownComponentError

T = TypeVar("T")


class Components(Generic[T]):
    """The components of one kind.

    Args:
        kind: what one is called in a message.
        also: names that are understood besides, for the message on an unknown one.

    Example:
        >>> sizes = Components[int]("size")
        >>> sizes.register("small")(1)
        1
        >>> sizes.get("small"), sizes.names()
        (1, ['small'])
    """

    def __init__(self, kind: str, *also: str) -> None:
        self.kind = kind
        self.also = also
        self.known: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that makes a component known under a name; a class is told its `name`.

        Raises:
            ValueError: the name is taken.
        """

        def register(component: T) -> T:
            if name in self.known:
                raise ValueError(f"{self.kind} {name!r} is registered already: choose another name")
            self.known[name] = component
            if isinstance(component, type):
                component.name = name  # type: ignore[attr-defined]  # declared where a kind has a use for it
            return component

        return register

    def names(self) -> list[str]:
        """The names, sorted."""
        return sorted(self.known)

    def get(self, name: str) -> T:
        """The component of a name.

        Raises:
            UnknownComponentError: there is none; the message lists what there is.
        """
        if name not in self.known:
            near = "".join(
                f" (did you mean {each!r}?)" for each in difflib.get_close_matches(name, self.known, 1)
            )
            names = ", ".join([*self.names(), *self.also])
            raise UnknownComponentError(f"no {self.kind} {name!r}{near}: choose one of {names}")
        return self.known[name]
