"""The systemd unit of docs/serve.md, as systemd reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.test_snippets import ROOT


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    (unit,) = re.findall(r"```text\n# /etc/systemd/system/snt-zoo.service\n(.*?)```", text, re.DOTALL)
    there, count = re.subn(r"(?m)^ExecStart=\S+ serve", "ExecStart=/bin/true serve", unit)
    assert count == 1  # of a program that is on this machine
    (tmp_path / "snt-zoo.service").write_text(there, encoding="utf-8")
    read = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "snt-zoo.service")], capture_output=True, text=True
    )
    # It speaks of other units of the machine as well.
    assert "snt-zoo.service" not in read.stderr, read.stderr
