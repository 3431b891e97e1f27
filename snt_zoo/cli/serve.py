"""`snt-zoo serve`: the registry as a service over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from snt_zoo.cli.output import fields, note, prints
from snt_zoo.cli.parameters import FOLDER, Home, here, home_option
from snt_zoo.cli.progress import waiting

FILE = click.Path(path_type=Path, dir_okay=False)


def _show(document: Mapping[str, Any]) -> None:
    if document["tokens"] is not None:
        fields({"tokens": document["tokens"]})


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@click.option("--token-file", type=FILE, help="Who may do what; another --host needs it.")
@click.option("--new-tokens", type=FILE, help="Write a file with a new token of each role, and end.")
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="A host name by which others call the service; may be repeated.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    help="Requests of one client in a second.  [default: any]",
)
@click.option(
    "--workers",
    default=0,
    show_default=True,
    type=click.IntRange(0, 64),
    help="Processes that answer queries, at 0.9 GB each; without any, threads do.",
)
@click.option("--runs", type=FOLDER, help="A folder of runs, as runs/: the page shows them live.")
@home_option
@prints(_show)
def serve_command(
    host: str,
    port: int,
    token_file: Path | None,
    new_tokens: Path | None,
    names: tuple[str, ...],
    rate: float | None,
    workers: int,
    runs: Path | None,
    home: Home,
) -> dict[str, Any]:
    """Serve the registry to other programs and machines.

    Only this machine can reach it unless --host says otherwise, and then everybody has to show a token.
    Without a --token-file nothing can be changed. It writes a line of JSON to stderr for each request, and
    ends on Ctrl-C or SIGTERM when the answers under way are sent. Needs the extra `serve`.

    \b
    Example:
      snt-zoo serve
      snt-zoo serve --new-tokens tokens
      snt-zoo serve --host 0.0.0.0 --allow-host zoo.example.org --token-file tokens
    """
    from snt_zoo.errors import ServiceError

    try:
        from snt_zoo.service.serving import Settings, Tokens, make_tokens, serve
    except ImportError as error:
        raise ServiceError(
            f'the service needs more packages ({error}): pip install "snt-zoo[serve]"'
        ) from None
    if new_tokens is not None:
        make_tokens(new_tokens)
        return {"tokens": new_tokens}
    tokens = Tokens() if token_file is None else Tokens.read(token_file)
    settings = Settings(
        host=host, port=port, tokens=tokens, names=names, rate=rate, askers=workers, runs=runs
    )
    folder = here(home, "serve")
    with waiting("opening the registry"):
        from snt_zoo import Zoo

        zoo = Zoo.open(folder)
    serve(zoo, settings, on_start=lambda url: note(f"serving {zoo.registry.home} at {url}"))
    return {"tokens": None}
