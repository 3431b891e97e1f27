"""What mkdocs asks of us for the reference: a hook for the command line, an extension for Python."""

from __future__ import annotations

from typing import Any

import click
import griffe
from click.testing import CliRunner


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Put the help of every command, as it is printed, at the end of the page of the command line."""
    return f"{markdown}\n{help_of_commands()}" if page.file.src_uri == "reference/cli.md" else markdown


def help_of_commands() -> str:
    """The help of `snt-zoo` and of each of its commands, as Markdown."""
    from snt_zoo.cli.main import main

    assert isinstance(main, click.Group)
    parts = []
    names = ["", *main.list_commands(click.Context(main))]
    for name in list(names):
        command = main.get_command(click.Context(main), name) if name else None
        if isinstance(command, click.Group):  # its commands follow it
            below = [f"{name} {each}" for each in command.list_commands(click.Context(command))]
            names[names.index(name) + 1 : names.index(name) + 1] = below
    for name in names:
        result = CliRunner().invoke(main, [*name.split(), "--help"], prog_name="snt-zoo")
        assert result.exit_code == 0, result.output
        parts += [f"## {name or 'snt-zoo'}", f"```text\n{result.output.rstrip()}\n```"]
    return "\n\n".join(parts)


class Examples(griffe.Extension):
    """Makes sections of `Example:`, as our docstrings say; griffe knows `Examples:` only."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")


class Workflows(griffe.Extension):
    """Shows those methods of `Zoo` that are workflows (`query = query`) as the functions that they are."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        for name, member in list(cls.members.items()):
            if (
                isinstance(member, griffe.Attribute)
                and member.annotation is None  # a field with a default has one
                and isinstance(member.value, griffe.ExprName | griffe.ExprCall)
            ):
                shown = str(member.value).removeprefix("staticmethod(").removesuffix(")")
                target = cls.module.members.get(shown)
                if isinstance(target, griffe.Alias):
                    cls.members[name] = griffe.Alias(name, target.target_path, parent=cls)
