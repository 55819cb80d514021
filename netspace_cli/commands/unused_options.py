"""Options that were given and have no part in what is done: they are told of, not swallowed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from netspace_cli.terminal.console import Console

if TYPE_CHECKING:
    from netspace_cli.core.data.points import Data

# How networks are read and encoded.
OF_CHECKPOINTS = ("refine", "arch", "key")


def note_ignored(
    console: Console, inputs: Sequence[Path], data: Data | None, *, among: Sequence[str] = OF_CHECKPOINTS
) -> None:
    """Tell which options of the running command are for other inputs or other data than it was given.

    Args:
        inputs: checkpoints and embedding files.
        data: images or points, None where there are none.
        among: which of the options for checkpoints are so here.
    """
    from netspace_cli.core.data.points import FieldData
    from netspace_cli.core.spaces.embeddings import is_embedding

    if all(is_embedding(path) for path in inputs):
        given = [f"--{name}" for name in among if _is_given(name)]
        if given:
            console.note(f"{', '.join(given)}: for checkpoints; embeddings are taken as they are.")
    if isinstance(data, FieldData) and _is_given("split"):
        console.note("--split: for images; networks that are signals are looked at everywhere.")


def _is_given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source not in (None, ParameterSource.DEFAULT)
