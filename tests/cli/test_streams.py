"""Output never ends a command, whatever becomes of the streams."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from snt_zoo.cli import streams
from snt_zoo.cli.streams import Enduring

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a shell closes the streams")

_WORK = """
import click, sys, warnings
from snt_zoo.cli.main import CommandLine
from snt_zoo.cli.output import note, say
from snt_zoo.errors import warn
class Line(CommandLine):
    def list_commands(self, ctx): return ["work"]
    def get_command(self, ctx, name): return work
@click.command("work")
def work():
    note("begun \\u4e2d")
    warn("one is left out")
    for _ in range(3000):
        say("caf\\u00e9 \\u4e2d\\u6587 \\u2026 and more of it to fill the pipe")
        sys.stdout.flush()
    open("done", "w").write("yes")
Line(name="snt-zoo")(prog_name="snt-zoo")
"""


def _run(redirection: str, where: Path, **environment: str) -> tuple[int, str, str, bool]:
    """Exit code, stdout, stderr, and whether the work was done."""
    command = f'"{sys.executable}" -c "$WORK" work {redirection}'
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=where,
        env=os.environ | {"WORK": _WORK} | environment,
        capture_output=True,
        timeout=60,
    )
    out, err = ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace")
    return ended.returncode, out, err, (where / "done").exists()


@pytest.mark.parametrize("redirection", [
    "| head -0", "| head -1", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>&1 | head -0", "2>/dev/full",
    ">/dev/full", ">/dev/full 2>&1", "| true",
])  # fmt: skip
def test_a_stream_that_is_gone_ends_no_command(redirection: str, tmp_path: Path) -> None:
    code, _, err, done = _run(redirection, tmp_path)
    assert done and "Traceback" not in err and "Exception ignored" not in err
    lost = redirection.startswith(">/dev/full")  # the answer was wanted, and is not there
    assert code == (1 if lost else 0)
    if redirection == ">/dev/full":
        assert "error: the answer could not be written: No space left on device" in err


@pytest.mark.parametrize("environment", [
    {"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "cp1252:strict"},
    {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "POSIX", "PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "utf-16"},
])  # fmt: skip
def test_an_encoding_without_a_letter_ends_no_command(environment: dict[str, str], tmp_path: Path) -> None:
    code, out, err, done = _run("", tmp_path, **environment)
    assert (code, done) == (0, True) and "Traceback" not in err and out
    if environment.get("PYTHONIOENCODING") == "cp1252":
        assert "\\u4e2d" in out and "warning: one is left out" in err


def test_a_pipe_that_does_not_block_gets_everything(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    code = f"from snt_zoo.cli.streams import Enduring; e = Enduring({writer}); sent = 0\n"
    code += "while sent < 300_000: sent += e.write(b'x' * 10_000)"
    child = subprocess.Popen([sys.executable, "-c", code], pass_fds=[writer])
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert len(file.read()) >= 300_000
    assert child.wait() == 0


def test_a_closed_number_is_not_given_to_the_next_file(tmp_path: Path) -> None:
    """Else what is meant for stdout lands in a database."""
    code = "from snt_zoo.cli.streams import endure; endure(); f = open('catalog', 'w'); print('x'); "
    code += "import os; os.write(1, b'y'); f.close()"
    subprocess.run(["bash", "-c", f'"{sys.executable}" -c "{code}" >&- 2>&-'], cwd=tmp_path, check=True)
    assert (tmp_path / "catalog").read_bytes() == b""


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EINVAL, errno.ENOSPC, errno.EIO])
def test_what_failed_once_is_not_tried_again(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    stream = Enduring(1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        assert stream.write(b"one") == 3
    assert stream.failure is not None and stream.write(b"two") == 3
    assert (number in streams._NOBODY_READS) == (number != errno.ENOSPC)
