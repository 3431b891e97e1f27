"""Help, imports, exit codes: what every command has in common."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
import pytest

from snt_zoo import __version__
from snt_zoo.cli.main import main

from .conftest import invoke, reason

COMMANDS = main.list_commands(click.Context(main))
GROUPS = ["encoder"]
"""Those that have commands of their own."""


def below(group: str) -> list[str]:
    """The commands of a group."""
    found = main.get_command(click.Context(main), group)
    assert isinstance(found, click.Group)
    return [f"{group} {name}" for name in found.list_commands(click.Context(found))]


EVERY = [
    *(name for name in COMMANDS if name not in GROUPS),
    *(name for group in GROUPS for name in below(group)),
]
HEAVY = ("torch", "numpy", "rich", "sqlalchemy", "pydantic", "jinja2")


def python(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **options
    )


def raising(error: BaseException) -> Any:
    def method(*args: object, **kwargs: object) -> NoReturn:
        raise error

    return method


def test_no_command_of_the_contract_is_missing() -> None:
    assert set(COMMANDS) >= {
        "query",
        "finetune",
        "pretrain",
        "list",
        "show",
        "add",
        "remove",
        "predict",
        "evaluate",
        "demo",
    }


@pytest.mark.parametrize("command", EVERY)
def test_help_has_a_sentence_an_example_and_the_shared_options(command: str) -> None:
    *group, name = command.split()
    result = invoke(*group, name, "--help")
    assert result.exit_code == 0
    assert f"Example:\n    snt-zoo {command}" in result.stdout
    assert "--json" in result.stdout
    assert "--debug" in result.stdout
    sentence = invoke(*group, "--help").stdout.split(f"  {name} ")[1].splitlines()[0]
    assert sentence.strip().endswith(".")
    assert "..." not in sentence


@pytest.mark.parametrize("command", ["", *COMMANDS, *EVERY])
def test_every_option_is_explained(command: str) -> None:
    found: click.Command | None = main
    for word in command.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)
    assert found is not None
    options = [p for p in found.params if isinstance(p, click.Option)]
    assert [option.name for option in options if not option.help] == []


def test_help_and_the_package_import_nothing_heavy() -> None:
    code = f"""
import sys
import snt_zoo
from snt_zoo.cli.main import main
for command in {["", *COMMANDS]!r}:
    try:
        main([*command.split(), "--help"], standalone_mode=False)
    except SystemExit as end:
        assert not end.code
print("HEAVY", [name for name in {HEAVY!r} if name in sys.modules])
"""
    assert python(code).stdout.splitlines()[-1] == "HEAVY []"


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snt_zoo", "--version"], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == f"snt-zoo, version {__version__}\n"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--nonsense"], "snt-zoo --help"),
        (["nonsense"], "snt-zoo --help"),
        (["query"], "snt-zoo query --help"),
        (["query", "x", "--max-params", "2X"], "2M"),
        (["query", "x", "-k", "0"], "snt-zoo query --help"),
        (["query", "x", "--on-bad-image", "eat"], "skip"),
        (["finetune", "x", "--budget", "soon"], "10m"),
        (["finetune", "x", "--budget", "1m", "--epochs", "2"], "not both"),
        (["finetune", "x", "--epochs", "0"], "snt-zoo finetune --help"),
        (["pretrain", "x", "--set", "channels"], "channels=16"),
        (["pretrain"], "snt-zoo pretrain --help"),
        (["predict", "x"], "snt-zoo predict --help"),
        (["remove", "x"], "--yes"),
    ],
)
def test_wrong_usage_is_one_line_with_a_hint_and_exits_with_2(args: list[str], told: str) -> None:
    result = invoke(*args)
    assert told in reason(result, 2)
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_bad_dataset_is_one_line_on_stderr(flags: tuple[str, ...], tmp_path: Path) -> None:
    assert "no such file" in reason(invoke("query", "nowhere", *flags))
    (tmp_path / "one" / "cat").mkdir(parents=True)
    (tmp_path / "one" / "dog").mkdir()
    (tmp_path / "one" / "cat" / "a.png").write_bytes(b"not an image")
    assert reason(invoke("query", tmp_path / "one", *flags))
    (tmp_path / "file.zip").write_bytes(b"PK")
    assert "unpack" in reason(invoke("finetune", tmp_path / "file.zip", *flags))
    assert not (tmp_path / "runs").exists()


def test_a_hostile_name_does_not_steer_the_terminal() -> None:
    told = invoke("query", "no\x1b[31m\nwhere")
    assert "\x1b" not in reason(told)
    assert len(told.stderr.splitlines()) == 1


def test_an_unexpected_error_is_one_line_that_names_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snt_zoo.registry.registry.Registry.open", raising(RuntimeError("boom\nsecond line")))
    told = invoke("list")
    assert reason(told) == ("error: RuntimeError: boom second line; run again with --debug for the traceback")
    assert len(told.stderr.splitlines()) == 1


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snt_zoo.registry.registry.Registry.open", raising(RuntimeError("boom")))
    by_option = invoke("list", "--debug")
    monkeypatch.setenv("SNT_ZOO_DEBUG", "1")
    for told in (by_option, invoke("list")):
        assert told.exit_code == 1
        assert "Traceback" in told.stderr
        assert told.stderr.splitlines()[-1] == "error: RuntimeError: boom"
        assert told.stdout == ""


def test_an_interrupt_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snt_zoo.registry.registry.Registry.open", raising(KeyboardInterrupt()))
    assert reason(invoke("list"), 130) == "error: interrupted"


def test_a_closed_pipe_is_silent() -> None:
    code = """
from snt_zoo.cli import main, registry
class Empty:
    def list(self, **constraints): return []
registry._open = lambda home: Empty()
main.main(["list", "--json"])
"""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 0  # the command did what it was asked to do
