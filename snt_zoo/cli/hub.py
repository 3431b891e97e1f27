"""`snt-zoo push`, `pull`, `sync`: supernets and derived models on the Hugging Face Hub."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snt_zoo.cli.output import fields, note, prints
from snt_zoo.cli.parameters import FOLDER, Home, count, home_option
from snt_zoo.cli.progress import waiting
from snt_zoo.formats.counts import format_size

if TYPE_CHECKING:
    from snt_zoo import Zoo

PEM = click.Path(exists=True, dir_okay=False, path_type=Path)
_NAMED = 5  # repositories that are named for people; --json names all


def _open(home: Home) -> Zoo:
    from snt_zoo import Zoo

    return Zoo.open(home)


def _show_push(document: Mapping[str, Any]) -> None:
    if "id" in document:
        fields({"added": document["id"], "to": document["repo"]})
        return
    if document["changed"]:
        done = "would be pushed" if document["dry_run"] else "pushed"
        files = ", ".join(
            f"{name} ({fate})" for name, fate in document["files"].items() if fate != "unchanged"
        )
    else:
        done, files = "unchanged", "none: the repository holds it already"
    rows = {
        done: document["repo"],
        "new repository": "yes" if document["created"] else "no",
        "commit": document["commit_url"] or "-",
        "tag": document["tag"] or "-",
        "files": files,
        "card": document["card"],
    }
    fields(rows)


@click.command("push")
@click.argument("source", metavar="ID|DIR")
@click.argument("repo", required=False)
@click.option("--private", is_flag=True, help="Make the repository private.")
@click.option("--tag", help="Name the commit; a tag never moves.")
@click.option("--revision", help="Branch to push to.  [default: main]")
@click.option("--message", help="First line of the commit.")
@click.option("--dry-run", is_flag=True, help="Send nothing; say what would be done.")
@click.option("--sign-key", type=PEM, help="Private key on an elliptic curve that signs it.")
@home_option
@prints(_show_push)
def push_command(
    source: str,
    repo: str | None,
    private: bool,
    tag: str | None,
    revision: str | None,
    message: str | None,
    dry_run: bool,
    sign_key: Path | None,
    home: Home,
) -> dict[str, Any]:
    """Put a supernet or a model on the Hub.

    ID is a supernet of the registry, DIR the folder of a bundle or of a finetuned model, REPO is OWNER/NAME.
    One commit, or none if nothing changed; refused if somebody else pushed meanwhile. A README.md of your own
    is kept. The token is taken from HF_TOKEN or `hf auth login`.

    With --zoo and without REPO the bundle in DIR goes to the service.

    \b
    Example:
      snt-zoo push my-supernet alice/my-supernet --tag v1
      snt-zoo push runs/photos-1 alice/photos --private --dry-run
      snt-zoo push my-supernet alice/my-supernet --sign-key key.pem
      snt-zoo --zoo http://127.0.0.1:8765 push my-supernet/
    """
    zoo = _open(home)
    if repo is None:
        if not isinstance(home, str):
            raise click.UsageError(
                "name the repository on the Hub, as OWNER/NAME; or a service, by --zoo URL"
            )
        record = zoo.add(source)
        return {"repo": zoo.registry.address, "id": record.id, "kind": "supernet"}
    if not sys.stderr.isatty():  # the client's own bars are drawn into a pipe as well
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
    done = zoo.push(
        source,
        repo,
        private=private,
        tag=tag,
        revision=revision,
        message=message,
        dry_run=dry_run,
        sign_key=sign_key,
    )
    for remark in done.notes:
        note(remark)
    return done.to_json()


def _show_pull(document: Mapping[str, Any]) -> None:
    if document["kind"] == "model":
        fields({"model": document["out"], "from": f"{document['repo']}@{document['commit']}"})
        return
    done = "added" if document["added"] else "in the registry already"
    fields({done: document["id"], "from": f"{document['repo']}@{document['commit']}"})


@click.command("pull")
@click.argument("repo", metavar="REPO[@REVISION]|ID")
@click.option("--out", type=FOLDER, help="Where a derived model goes.  [default: models/NAME]")
@click.option(
    "--max-size", type=count, default="1G", show_default=True, help="Most bytes of the repository, as 50M."
)
@click.option("--verify-key", type=PEM, help="Public key by which it has to be signed.")
@home_option
@prints(_show_pull)
def pull_command(
    repo: str, out: Path | None, max_size: int, verify_key: Path | None, home: Home
) -> dict[str, Any]:
    """Take a supernet or a model from the Hub.

    A supernet goes into the registry, a derived model into a folder. REVISION is a branch, a tag or a commit;
    the commit is recorded. Every file is checked against the repository and the manifest; only safetensors
    and JSON are downloaded. A commit that was pulled before needs no network.

    With --zoo an ID is a supernet of the service: it goes into the registry of this machine, or with --out
    into a folder.

    \b
    Example:
      snt-zoo pull alice/my-supernet@v1
      snt-zoo pull alice/photos --out photos-model/
      snt-zoo pull alice/my-supernet --verify-key alice.pem
      snt-zoo --zoo http://127.0.0.1:8765 pull my-supernet
    """
    with waiting(f"pulling {repo}"):
        if isinstance(home, str) and "/" not in repo:
            from snt_zoo.workflows.share import take

            return take(_open(home), repo, out=out).to_json()
        return _open(home).pull(repo, out=out, max_bytes=max_size, verify_key=verify_key).to_json()


def _show_sync(document: Mapping[str, Any]) -> None:
    fields(
        {
            "repositories": f"{document['repositories']:,}",
            "supernets to rank": f"{document['supernets']:,}",
            "looked at": f"{document['fetched']:,}, {format_size(document['bytes'])} bytes",
            "unchanged": f"{document['unchanged']:,}",
            "gone": f"{document['removed']:,}",
            "time": f"{document['seconds']:.1f} s",
        }
    )
    for kind in ("refused", "failed"):
        rows = document[kind]
        for row in rows[:_NAMED]:
            fields({kind: f"{row['repo']}: {row['reason']}"})
        if len(rows) > _NAMED:
            fields({kind: f"and {len(rows) - _NAMED:,} more, see --json"})


@click.command("sync")
@home_option
@prints(_show_sync)
def sync_command(home: Home) -> dict[str, Any]:
    """Look at every supernet on the Hub.

    No weights are fetched. Then `snt-zoo query DATASET --hub` ranks them, and `finetune` pulls the one that
    it is told to use. Only what changed since the last time is fetched. What is kept is hub.sqlite in the
    registry's folder, which may be deleted.

    \b
    Example:
      snt-zoo sync
    """
    with waiting("asking the Hub") as tell:
        return _open(home).sync(on_repo=lambda done, repo: tell(f"{done:,} looked at, {repo}")).to_json()
