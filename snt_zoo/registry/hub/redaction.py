"""Keeps tokens out of messages and logs.

The client library reads the token itself (`HF_TOKEN`, `hf auth login`); this package only hands one on that
it was given. But a server may repeat a token in an error, and signed addresses carry credentials, so every
text that comes from the library passes here before it is raised, printed or logged.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable

MASK = "***"
_LIBRARIES = ("huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2", "urllib3", "filelock")
_SECRET_NAMES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN")
_SHORTEST = 6  # a "token" of a few letters would blank out half of every text
_PATTERNS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{8,}"), MASK),
    (re.compile(r"(://)[^/\s@]+@"), rf"\1{MASK}@"),
    (
        re.compile(
            r"(?i)([?&](?:x-amz-(?:signature|security-token|credential)|signature|policy|key-pair-id|token|sig)=)"
            r"[^&\s\"']+"
        ),
        rf"\1{MASK}",
    ),
)


class Secret:
    """A text that shows itself only when asked to."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a token is not to be written anywhere")


def redact(text: object, secrets: Iterable[Secret] = ()) -> str:
    """A text without tokens, credentials in addresses, and signatures of signed addresses.

    Args:
        text: from the client library, or a server.
        secrets: further texts to blank out; those of the environment always are.

    Example:
        >>> redact("GET https://user:pass@hub.example/x?token=abc")
        'GET https://***@hub.example/x?token=***'
    """
    shown = str(text)
    known = [os.environ.get(name, "") for name in _SECRET_NAMES] + [secret.reveal() for secret in secrets]
    for secret in known:
        if len(secret.strip()) >= _SHORTEST:
            shown = shown.replace(secret.strip(), MASK)
    for pattern, replacement in _PATTERNS:
        shown = pattern.sub(replacement, shown)
    return shown


class RedactingFilter(logging.Filter):
    """Passes every record on, with its text redacted.

    Args:
        secrets: as in `redact`.
    """

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        super().__init__()
        self.secrets = frozenset(secret.reveal() for secret in secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        """True; the record's message and traceback are redacted in place."""
        secrets = [Secret(text) for text in self.secrets]
        record.msg, record.args = redact(record.getMessage(), secrets), ()
        if record.exc_info:
            text = logging.Formatter().formatException(record.exc_info)
            record.exc_info, record.exc_text = None, redact(text, secrets)
        return True


def protect_logs(secrets: Iterable[Secret] = ()) -> None:
    """Put the filter on the loggers of the client and of what it uses; again for loggers that are new.

    A filter of a logger does not see what its children log, hence one on each.
    """
    secrets = tuple(secrets)
    names = [name for name in list(logging.root.manager.loggerDict) if name.partition(".")[0] in _LIBRARIES]
    for name in names:
        logger = logging.getLogger(name)
        for target in (logger, *logger.handlers):
            there = [kept for kept in target.filters if isinstance(kept, RedactingFilter)]
            if not there:
                target.addFilter(RedactingFilter(secrets))
            for kept in there:  # never taken off: another thread may be logging
                kept.secrets |= {secret.reveal() for secret in secrets}
