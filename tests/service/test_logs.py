from __future__ import annotations

import json
import logging
import sys

from snt_zoo.service.logs import JsonLines, configure, log


def line(**changes: object) -> dict[str, object]:
    record = logging.LogRecord("snt_zoo.service", logging.INFO, __file__, 1, "request", (), None)
    vars(record).update(changes)
    text = JsonLines().format(record)
    assert "\n" not in text
    found: dict[str, object] = json.loads(text)
    return found


def test_a_record_is_one_line_of_json() -> None:
    found = line(fields={"route": "/v1\n", "status": 200})
    assert (found["event"], found["route"], found["status"], found["level"]) == (
        "request",
        "/v1\n",
        200,
        "info",
    )
    assert str(found["time"]).endswith("+00:00")


def test_a_traceback_holds_no_token() -> None:
    try:
        raise ValueError("Bearer abcdefghijklmnop")
    except ValueError:
        found = line(exc_info=sys.exc_info())
    assert "ValueError" in str(found["traceback"]) and "abcdefghijklmnop" not in str(found["traceback"])
    assert "abcdefghijklmnop" not in str(line(msg="Authorization: Bearer abcdefghijklmnop"))


def test_the_server_below_writes_lines_too() -> None:
    loggers = [logging.getLogger(name) for name in ("snt_zoo.service", "uvicorn")]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    try:
        configure()
        log("started", supernets=3)
        assert all(isinstance(logger.handlers[0].formatter, JsonLines) for logger in loggers)
    finally:
        for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
