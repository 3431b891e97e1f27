"""Commands in processes that see the environment afresh: which Hub, which token, which cache.

huggingface_hub reads the environment when it is first imported, so each machine of a scenario is a process
of its own. To load torch in each would take most of a test's time: one process loads what is slow, the
client not among it, and is forked for each machine. It runs OpenMP on one thread: a child that is forked
beside a pool of them waits for threads that it does not have, for ever.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

HERE = Path(__file__).parents[3]


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The JSON on stdout of a command that succeeded."""
        assert self.code == 0, self.stderr
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Machines:
    """The process that is forked."""

    process: subprocess.Popen[str]

    def run(self, commands: Sequence[Sequence[str]], env: Mapping[str, str]) -> list[Answer]:
        """Run commands one after another on a machine with that environment."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps([commands, dict(env)]), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, "the process has ended: see its standard error"
        answers, past = json.loads(line)
        made = [Answer(*entry) for entry in answers]
        # What was written past the command line, by the client's logger say, goes with the last one.
        return [*made[:-1], Answer(made[-1].code, made[-1].stdout, made[-1].stderr + past)]


@contextlib.contextmanager
def machines() -> Iterator[Machines]:
    """Start the process, and end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.registry.hub.scenario"],
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Machines(process)
    finally:
        process.communicate(timeout=60)  # the end of its input ends it


def _serve(requests: TextIO, answers: TextIO) -> None:
    import snt_zoo.registry.starter
    from tests.registry.making import make_bundle

    snt_zoo.registry.starter.starter_bundles = list  # the starter zoo is not what is tried here
    with tempfile.TemporaryDirectory() as folder:  # loads whatever a command would
        snt_zoo.Zoo.open(folder).add(make_bundle(Path(folder) / "x"))
    assert "huggingface_hub" not in sys.modules
    for line in requests:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            with os.fdopen(writer, "w") as sink:
                sink.write(json.dumps(_run(*json.loads(line))))
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as source:
            answers.write(source.read() + "\n")
        answers.flush()
        os.waitpid(child, 0)


def _run(commands: list[list[str]], env: dict[str, str]) -> tuple[list[list[Any]], str]:
    from click.testing import CliRunner

    from snt_zoo.cli.main import main

    os.environ.update(env)
    with tempfile.TemporaryFile() as past:
        os.dup2(past.fileno(), 2)
        answers = []
        for arguments in commands:
            result = CliRunner().invoke(main, arguments, prog_name="snt-zoo")
            answers.append([result.exit_code, result.stdout, result.stderr])
        sys.stderr.flush()
        past.seek(0)
        return answers, past.read().decode("utf-8", "replace")


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout)
