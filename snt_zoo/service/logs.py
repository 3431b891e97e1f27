"""What a service says of itself: one JSON object a line, on stderr.

Of a request are written its time, its route, what became of it, how long it took and who asked, by role and
name. Headers, queries and bodies are not: tokens stand there, and names of people's classes.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

from snt_zoo.registry.hub.redaction import redact

LOGGER = logging.getLogger("snt_zoo.service")

_FIELDS = "fields"


class JsonLines(logging.Formatter):
    """A record as a line of JSON; of one with an exception the traceback too, without tokens."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": redact(record.getMessage()),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=True, default=str)


def log(event: str, *, level: int = logging.INFO, traceback: bool = False, **fields: Any) -> None:
    """Write a line.

    Args:
        event: what happened, in a word or two.
        level: of `logging`.
        traceback: whether that of the error that is being handled is written too.
        fields: of the line.
    """
    LOGGER.log(level, event, extra={_FIELDS: fields}, exc_info=traceback)


def configure() -> None:
    """Let the service, and the server below it, write JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for logger in (LOGGER, logging.getLogger("uvicorn")):
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
