"""The rule of a route: who may use it, how large its body may be, how long it may take.

A route says so itself, and one that says nothing is refused:

    @router.get("/v1/supernets")
    @allow("read")
    async def list_supernets(request: Request) -> ...

`check_routes` refuses an application with a route that has no rule; `gate` holds every request to the rule of
its route before the route sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.routing import BaseRoute, Match, Route

from snt_zoo.errors import ServiceError
from snt_zoo.service.tokens import Scope

_F = TypeVar("_F", bound=Callable[..., Any])

_RULE = "snt_zoo_rule"
BODY = 64 * 1024
"""Bytes of a body unless a route says otherwise: a form, or a small document."""


@dataclass(frozen=True)
class Rule:
    """What holds for a route.

    Args:
        scope: who may use it.
        body: most bytes that a client may send.
        seconds: that it may take; None for those of the settings.
    """

    scope: Scope
    body: int = BODY
    seconds: float | None = None


def allow(scope: Scope, *, body: int = BODY, seconds: float | None = None) -> Callable[[_F], _F]:
    """Give the function of a route its rule; stands right above it, below the router's own decorator.

    Args:
        scope: `open` for everybody, `read`, `write`, or `metrics`.
        body: most bytes that a client may send.
        seconds: that it may take, where it is more than a usual answer.
    """

    def decorate(function: _F) -> _F:
        setattr(function, _RULE, Rule(scope, body, seconds))
        return function

    return decorate


def rule_of(route: BaseRoute) -> Rule | None:
    """The rule of a route; None if it has none, as a mounted application never has."""
    found: Rule | None = getattr(getattr(route, "endpoint", None), _RULE, None)
    return found


def check_routes(routes: Iterable[BaseRoute]) -> None:
    """Raise `ServiceError` if there is a route without a rule."""
    for route in routes:
        if rule_of(route) is None:
            raise ServiceError(
                f"the route {getattr(route, 'path', route)!r} says not who may use it: put @allow(SCOPE) "
                "above its function"
            )


def matching(routes: Iterable[BaseRoute], scope: MutableMapping[str, Any]) -> Iterator[Route]:
    """The routes that would answer a request, by its path and its method."""
    for route in routes:
        if isinstance(route, Route) and route.matches(scope)[0] is Match.FULL:
            yield route
