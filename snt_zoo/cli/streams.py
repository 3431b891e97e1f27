"""The streams of a process, so that output never ends a command and never prints a traceback.

Whoever reads a pipe may go, a terminal may be closed, a disk may be full, a stream may be closed from the
start (`>&-`, a service, `pythonw`), and an encoding may lack a letter. The work goes on; a letter that
cannot be written is written as its escape. That the answer on stdout was lost is told in the end, unless
nobody wanted it: then the reader had gone, or the stream was closed.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TextIO

# EINVAL is what Windows says of a pipe without a reader; EIO what Linux says of a closed terminal.
_NOBODY_READS = (errno.EPIPE, errno.EBADF, errno.EINVAL, errno.EIO, errno.ESHUTDOWN)


class Enduring(io.RawIOBase):
    """Writes to a file descriptor until that fails, and nowhere afterwards.

    Args:
        descriptor: that stays open.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.failure: OSError | None = None
        """Why it ended."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, content: object) -> int:
        view = memoryview(content).cast("B")  # type: ignore[arg-type]  # bytes, or what has their form
        if self.failure is None:
            try:
                return os.write(self._descriptor, view)
            except BlockingIOError:
                return self._wait_and_write(view)
            except OSError as error:
                self.failure = error
        return len(view)

    def _wait_and_write(self, view: memoryview) -> int:
        """A pipe that does not block, as another program may have set it: wait until there is room."""
        import select

        select.select([], [self._descriptor], [])
        return self.write(view)


def endure() -> None:
    """Let `sys.stdout` and `sys.stderr` endure; those that a test or a notebook put there stay.

    They stay in place: what is written while the process ends shall not fail either.
    """
    _fill_descriptors()
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream, own = getattr(sys, name), getattr(sys, f"__{name}__")
        if stream is None or (stream is own and not _is_console(stream)):
            setattr(sys, name, _enduring(stream, descriptor=descriptor))


def lost_answer() -> OSError | None:
    """Why what was written on stdout did not arrive; None if it did, or if nobody wanted it."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, Enduring):
        return None
    sys.stdout.flush()
    return None if raw.failure is None or raw.failure.errno in _NOBODY_READS else raw.failure


def _enduring(stream: TextIO | None, *, descriptor: int) -> TextIO:
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
        descriptor = stream.fileno()
    raw = Enduring(descriptor)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if stream is None else stream.encoding,
        errors="backslashreplace",
        line_buffering=descriptor == 2 or raw.isatty(),
    )


def _is_console(stream: TextIO) -> bool:
    """A console of Windows is spoken to in its own way, which knows every letter."""
    return os.name == "nt" and stream.isatty()


def _fill_descriptors() -> None:
    """Where 0, 1 or 2 are closed, open nothing there: the next file would get the number, and the output."""
    while (spare := os.open(os.devnull, os.O_RDWR)) < 3:  # the lowest number that is free
        os.set_inheritable(spare, True)
    os.close(spare)
