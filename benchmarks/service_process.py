"""`snt-zoo serve` in a process of its own, as benchmarks and their clients see it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from snt_zoo.service.tokens import make_tokens

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
    """

    def __init__(self, home: Path, tokens: Path, *, port: int = 0) -> None:
        if not tokens.exists():
            make_tokens(tokens)
        self.tokens = dict(line.split() for line in tokens.read_text(encoding="ascii").splitlines())
        options = ["--home", str(home), "--port", str(port), "--token-file", str(tokens)]
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
        for line in self.process.stderr:
            said.append(line)
            if found := re.search(r"^serving .* at (http://\S+)", line):
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
        """Bytes that it holds now; on Linux."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"^VmRSS:\s+(\d+)", status, re.MULTILINE)
        return 1024 * int(found[1]) if found else 0

    def processor_seconds(self) -> float:
        """Processor time that it took so far; on Linux."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
