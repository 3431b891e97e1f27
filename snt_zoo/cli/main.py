"""The entry point: finds commands by name, imports only what is called, turns errors into exit codes."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

import click

from snt_zoo.cli.output import DEBUG, RESUME, is_first_process, note_warnings, printable
from snt_zoo.cli.parameters import ZOO
from snt_zoo.cli.streams import endure, lost_answer
from snt_zoo.errors import SntZooError
from snt_zoo.version import __version__

_COMMANDS = {
    "demo": "snt_zoo.cli.demo",
    "query": "snt_zoo.cli.query",
    "distance": "snt_zoo.cli.distance",
    "sketch": "snt_zoo.cli.sketch",
    "finetune": "snt_zoo.cli.finetune",
    "predict": "snt_zoo.cli.model",
    "evaluate": "snt_zoo.cli.model",
    "export": "snt_zoo.cli.export",
    "bench": "snt_zoo.cli.bench",
    "pretrain": "snt_zoo.cli.pretrain",
    "list": "snt_zoo.cli.registry",
    "show": "snt_zoo.cli.registry",
    "add": "snt_zoo.cli.registry",
    "remove": "snt_zoo.cli.registry",
    "tag": "snt_zoo.cli.versions",
    "alias": "snt_zoo.cli.versions",
    "aliases": "snt_zoo.cli.versions",
    "lineage": "snt_zoo.cli.versions",
    "checkout": "snt_zoo.cli.household",
    "verify": "snt_zoo.cli.household",
    "gc": "snt_zoo.cli.household",
    "limit": "snt_zoo.cli.household",
    "push": "snt_zoo.cli.hub",
    "pull": "snt_zoo.cli.hub",
    "sync": "snt_zoo.cli.hub",
    "serve": "snt_zoo.cli.serve",
    "backup": "snt_zoo.cli.household",
    "outcomes": "snt_zoo.cli.outcomes",
    "encoder": "snt_zoo.cli.encoder",
}
"""Each command's module, in the order of the help; its function is called `NAME_command`."""


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Failure(click.ClickException):
    """One line on stderr, and an exit code."""

    def __init__(self, message: object) -> None:
        super().__init__(printable(message))

    def show(self, file: Any = None) -> None:
        who = "" if is_first_process() else f"process {os.environ['RANK']}: "
        click.echo(f"error: {who}{self.message}", file=file or sys.stderr)


class WrongUsage(Failure):
    """The command was not written as its help says."""

    exit_code = 2


class Interrupted(Failure):
    """The user pressed Ctrl-C."""

    exit_code = 130  # as a shell reports it: 128 and the number of SIGINT

    def show(self, file: Any = None) -> None:
        if is_first_process():  # a signal comes to all
            super().show(file)


class Terminated(Interrupted):
    """The process was asked to end (SIGTERM)."""

    exit_code = 143


class CommandLine(click.Group):
    """A group that imports a command's module when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name])
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        endure()
        try:
            with warnings.catch_warnings():
                note_warnings()
                return super().main(*args, **kwargs)
        except SystemExit as end:
            if lost := lost_answer():
                click.echo(f"error: the answer could not be written: {lost.strerror}", err=True)
                sys.exit(end.code or 1)
            raise

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        with _as_exit_codes():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _as_exit_codes(ctx):
            return super().invoke(ctx)


@contextlib.contextmanager
def _as_exit_codes(ctx: click.Context | None = None) -> Iterator[None]:
    """Make one line and an exit code of whatever goes wrong inside."""
    meta = {} if ctx is None else ctx.meta
    try:
        yield
    except click.UsageError as error:
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            raise
        path = "snt-zoo" if error.ctx is None else error.ctx.command_path
        message = error.format_message().rstrip(".")
        raise WrongUsage(f"{message}; see `{path} --help`") from error
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except KeyboardInterrupt as error:
        how = meta[RESUME]() if RESUME in meta else ""
        # `snt_zoo.search.interruption.Stopped` knows its signal.
        terminated = getattr(error, "signal", signal.SIGINT) == signal.SIGTERM
        kind = Terminated if terminated else Interrupted
        raise kind(f"interrupted{f'; go on with {how}' if how else ''}") from error
    except SntZooError as error:
        _trace(meta)
        raise Failure(error) from error
    except Exception as error:
        _trace(meta)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            how = meta[RESUME]() if RESUME in meta else ""
            place = f" ({error.filename})" if error.filename else ""
            raise Failure(f"{error.strerror}{place}: make room, then {how or 'run it again'}") from error
        hint = "" if meta.get(DEBUG) else "; run again with --debug for the traceback"
        raise Failure(f"{type(error).__name__}: {error}{hint}") from error


def _trace(meta: dict[str, Any]) -> None:
    if meta.get(DEBUG):
        for line in traceback.format_exc().splitlines():
            click.echo("".join(c if c.isprintable() else repr(c)[1:-1] for c in line), err=True)


@click.command(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--zoo",
    "url",
    metavar="URL",
    envvar="SNT_ZOO_URL",
    help="Use the registry of a service (`snt-zoo serve`) in the place of a folder.",
)
@click.version_option(__version__, package_name="snt-zoo", prog_name="snt-zoo")
@click.pass_context
def main(ctx: click.Context, url: str | None) -> None:
    """Find the supernet that was trained on data like yours, and adapt it to your task.

    DATASET is a folder of class folders (optionally under train/, val/ and test/), an .npz in
    MedMNIST's layout, or hf:NAME, torchvision:NAME, sklearn:digits.

    \b
    Example:
      snt-zoo demo
      snt-zoo query photos/
      snt-zoo finetune photos/ --budget 10m
    """
    ctx.meta[ZOO] = url
