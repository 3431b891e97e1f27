"""Parameters that several routes take: what a list or a query is narrowed to."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from snt_zoo.errors import RequestError
from snt_zoo.registry.catalog.filters import Bound, Filter

_Text = Annotated[str | None, Query(max_length=200)]
_Most = Annotated[int | None, Query(ge=1, lt=2**63)]
_Words = Annotated[list[str], Query(max_length=20)]


async def conditions(
    name: _Text = None,
    space: _Text = None,
    max_params: _Most = None,
    max_macs: _Most = None,
    max_size: _Most = None,
    min_accuracy: Annotated[float | None, Query(ge=0, le=1)] = None,
    source: _Text = None,
    licence: _Text = None,
    tag: _Text = None,
    metric: Annotated[list[str], Query(max_length=20, description="As `ece<=0.1`.")] = [],  # noqa: B006
    exclude: _Words = [],  # noqa: B006
) -> Filter:
    """The conditions of a request; see `Filter`. A text with `*` or `?` is a pattern."""
    try:
        metrics = tuple(Bound.parse(text) for text in metric)
    except ValueError as error:
        raise RequestError(f"metric: {error}") from None
    return Filter(
        name=name,
        space=space,
        max_params=max_params,
        max_macs=max_macs,
        max_size=max_size,
        min_accuracy=min_accuracy,
        source=source,
        licence=licence,
        tag=tag,
        metrics=metrics,
        exclude=tuple(exclude),
    )


Where = Annotated[Filter, Depends(conditions)]
"""The conditions, as a parameter of a route."""
