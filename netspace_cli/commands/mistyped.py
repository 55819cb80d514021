"""What an option that does not exist was probably meant to be."""

from __future__ import annotations

from difflib import get_close_matches

import click

# How alike two names are, from 0 to 1, where one of them is likely a slip of the other.
ALIKE = 0.8


def meant(error: click.NoSuchOption) -> str:
    """The message of such an error, with the nearest option of the command, or the setting of a recipe of that name."""
    parameters = [] if error.ctx is None else error.ctx.command.params
    flags = [
        flag for each in parameters if isinstance(each, click.Option) for flag in (*each.opts, *each.secondary_opts)
    ]
    name = error.option_name
    keys = _keys(name.lstrip("-").replace("-", "_")) if any(p.name == "settings" for p in parameters) else []
    near = get_close_matches(name, [flag for flag in flags if flag.startswith("--")], n=1, cutoff=ALIKE)
    if keys and near in ([], ["--set"]):
        return f"No such option {name!r}. Did you mean the recipe's {' or '.join(f'-s {key}=…' for key in keys)}?"
    return f"No such option {name!r}. Did you mean {near[0]!r}?" if near else error.format_message()


def _keys(name: str) -> list[str]:
    """Settings whose last part is nearest to a name: those of training, or else of other sections."""
    from netspace_cli.core.spaces.recipe import Recipe

    known = list(Recipe().values())
    near = get_close_matches(name, {key.rpartition(".")[2] for key in known}, n=1, cutoff=ALIKE)
    found = [key for key in known if key.rpartition(".")[2] in near]
    return [key for key in found if key.startswith("train.")] or found[:2]
