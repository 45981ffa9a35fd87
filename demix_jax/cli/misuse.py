"""What is wrong with the arguments of a command, in one sentence."""

from __future__ import annotations

import typer

from demix_jax.common.wording import listed


def misuse_sentence(error: typer.TyperException, program: str, command: object, words: list[str]) -> str:
    """What is wrong, and the command whose help explains it.

    Args:
      error: what typer raised.
      program: name of the program. command: typer's object for it. words: what was typed after its name.
    """
    missing = _missing(error)
    if missing:
        wrong = f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    else:
        said, _, guess = error.format_message().replace("Value error, ", "").partition(". Did you mean ")
        wrong = f"{said} (did you mean {guess})" if guess else said.rstrip(".")
    return f"{wrong}; see `{' '.join([program, *_named_command(command, words)])} --help`."


def _missing(error: typer.TyperException) -> list[str]:
    """All required arguments that were not given, each with its help in brackets; [] if something else is wrong.

    Typer reads the given arguments first. Then it reports one missing argument, as a bad parameter without a message.
    """
    if not isinstance(error, typer.BadParameter) or error.message or error.ctx is None:
        return []
    required = [one for one in error.ctx.command.params if one.required]
    missing = [one for one in required if error.ctx.params.get(one.name) is None]
    names = [one.opts[0] if one.param_type_name == "option" else str(one.metavar) for one in missing]
    return [f"{name} ({_phrase(getattr(one, 'help', ''))})" for name, one in zip(names, missing, strict=True)]


def _phrase(help_text: str) -> str:
    """A help text as part of a sentence: "Name of the label." as "name of the label"."""
    return f"{help_text[:1].lower()}{help_text[1:]}".rstrip(".")


def _named_command(command: object, words: list[str]) -> list[str]:
    """The words that name a command and its sub-command, as far as they exist."""
    names = []
    for word in words:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            break
        names.append(word)
    return names
