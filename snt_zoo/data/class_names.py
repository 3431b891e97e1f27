"""Names that come from outside, as text that can be stored, compared and shown on one line."""

from __future__ import annotations

import unicodedata

# Invisible, but part of words in Persian and Hindi, and of emoji.
_JOINERS = "\u200c\u200d"


def one_line(name: str) -> str:
    r"""A name in the one form that everything else sees.

    A name of a file may hold bytes that are no UTF-8: each is written as `\xb9`, so that different names
    stay different. So are line breaks, control characters and marks of direction, which would steer a
    terminal. The same é can be one character or two, by the system that wrote it: it becomes one.

    Args:
        name: as Python gives it, by whatever encoding the names of files have here.

    Example:
        >>> one_line("caf\udce9"), one_line("cat\nerror: none")
        ('caf\\xe9', 'cat\\nerror: none')
    """
    try:
        # Bytes that Python could not decode, in the C locale all of é, are single surrogates.
        content = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        content = name.encode("utf-8", "backslashreplace")
    text = unicodedata.normalize("NFC", content.decode("utf-8", "backslashreplace"))
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    steers = unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") and character not in _JOINERS
    return repr(character)[1:-1] if steers else character
