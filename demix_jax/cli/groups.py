"""Commands on one kind of data, under one name."""

from __future__ import annotations

import typer


def command_group(name: str, *, about: str) -> typer.Typer:
    """A group of sub-commands, described by `about`; without a sub-command it prints its help."""
    group = typer.Typer(name=name, help=about)

    @group.callback(invoke_without_command=True)
    def _help_alone(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            print(context.get_help())

    return group
