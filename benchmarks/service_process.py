"""`snt-zoo serve` in a process of its own, as benchmarks and their clients see it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from snt_zoo.service.tokens import make_tokens

_START_S = 180.0  # that it may take to begin; with 10⁵ bundles its index is made
_MAIN = """
import snt_zoo.registry.starter as starter
starter.starter_bundles = list  # the registry is to hold what the benchmark put there
from snt_zoo.cli.main import main
main()
"""


class Service:
    """A running service.

    Args:
        home: folder of its registry.
        port: 0 takes a free one.
        tokens: file of its tokens; made if it is not there.
        workers: processes that answer queries.
    """

    def __init__(self, home: Path, tokens: Path, *, port: int = 0, workers: int = 0) -> None:
        if not tokens.exists():
            make_tokens(tokens)
        self.tokens = dict(line.split() for line in tokens.read_text(encoding="ascii").splitlines())
        options = ["--home", str(home), "--port", str(port), "--token-file", str(tokens)]
        options += ["--workers", str(workers)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, "serve", *options], stderr=subprocess.PIPE, text=True
        )
        self.url = self._listening()
        self.port = int(self.url.rpartition(":")[2])
        # What it logs is read on, or its pipe would be full.
        threading.Thread(target=self._drain, daemon=True).start()

    def _listening(self) -> str:
        assert self.process.stderr is not None
        said = []
        limit = threading.Timer(_START_S, self.process.kill)  # then what it writes ends
        limit.start()
        for line in self.process.stderr:
            said.append(line)
            if found := re.search(r"^serving .* at (http://\S+)", line):
                limit.cancel()
                return found[1]
        raise RuntimeError(f"the service ended with {self.process.wait()}: {''.join(said)}")

    def _drain(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as log:
            for _ in log:
                pass

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end, and wait for that."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def memory(self) -> int:
        """Bytes that it and its workers hold now, what they share counted for each; on Linux."""
        found = 0
        for pid in self._pids():
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            rows = re.search(r"^VmRSS:\s+(\d+)", status, re.MULTILINE)
            found += 1024 * int(rows[1]) if rows else 0
        return found

    def processor_seconds(self) -> float:
        """Processor time that it and its workers took so far; on Linux."""
        ticks = 0
        for pid in self._pids():
            fields = _stat(pid)
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def _pids(self) -> list[int]:
        own = self.process.pid
        found = [own]
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError):  # it has ended meanwhile
                if int(_stat(int(folder.name))[1]) == own:
                    found.append(int(folder.name))
        return found


def _stat(pid: int) -> list[str]:
    """What stands in `/proc/PID/stat` after the name of the program: its state, its parent and so on."""
    return Path(f"/proc/{pid}/stat").read_bytes().decode("utf-8", "replace").rpartition(")")[2].split()
