"""Templates of the page, and the headers of its answers."""

from __future__ import annotations

from typing import Any

import jinja2
from fastapi.responses import HTMLResponse

from snt_zoo.formats.counts import format_size
from snt_zoo.service.page.links import short
from snt_zoo.version import __version__

HEADERS = {
    # No script, style or image but those of this service; nothing inline, nothing from elsewhere.
    "Content-Security-Policy": "default-src 'self'; img-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",  # with `no-store` a browser forgets an answer when one goes back
}


def percent(share: float | None) -> str:
    """A share from 0 to 1 for people; the line does not break within."""
    return "–" if share is None else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def spell(seconds: float) -> str:
    """A time for people, in its two largest units: `2 min 5 s`."""
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return f"{whole} s"
    large, unit, small, rest = (60, "min", 1, "s") if whole < 3600 else (3600, "h", 60, "min")
    left = whole % large // small
    return f"{whole // large} {unit}" + (f" {left} {rest}" if left else "")


TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("snt_zoo.service.page"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {"percent": percent, "size": format_size, "spell": spell, "short": short}
TEMPLATES.globals |= {"version": __version__}


def page(template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """An answer: a template with what it shows."""
    text = TEMPLATES.get_template(template).render(**context)
    return HTMLResponse(text, status, HEADERS)
