"""What every route may answer besides, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from snt_zoo.registry.remote.documents import Failure

FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": text}
    for status, text in (
        (400, "The request cannot be read."),
        (401, "A token is missing, or wrong."),
        (403, "The token may not do that, or nobody may."),
        (404, "There is no such thing, or nothing meets the constraints."),
        (409, "It is there already, or cannot be compared with what is there."),
        (413, "More was sent than is taken."),
        (421, "The service is not called by that host name."),
        (422, "A parameter, or what was sent, is not as it must be."),
        (429, "Too many requests of one client."),
        (500, "The service failed."),
        (503, "There is too much to do: come again."),
        (504, "It took too long."),
        (507, "The registry cannot be written to, or is full."),
    )
}
