"""Warn about options that do not apply, instead of ignoring them silently."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from netspace_cli.terminal.console import Console

if TYPE_CHECKING:
    from netspace_cli.core.kinds.kind import Kind

# How networks are read and encoded.
OF_CHECKPOINTS = ("refine", "arch", "key")


def note_unused(
    console: Console, inputs: Sequence[Path], kind: Kind | None, *, among: Sequence[str] = OF_CHECKPOINTS
) -> None:
    """Warn about given options that do not apply to these inputs or this kind of network.

    Args:
        inputs: checkpoints and embedding files.
        kind: kind of the networks; None if it does not matter.
        among: the options that apply to checkpoints only.
    """
    from netspace_cli.core.spaces.embeddings import is_embedding

    if all(is_embedding(path) for path in inputs):
        given = [f"--{name}" for name in among if _is_given(name)]
        if given:
            console.note(f"Ignored {', '.join(given)}: for checkpoints only; embeddings are used as they are.")
    if kind is not None and not kind.has_splits and _is_given("split"):
        console.note("Ignored --split: for images only; neural fields are scored everywhere.")


def warn_of_ignored(console: Console, names: Sequence[str], why: str) -> None:
    """Warn about those of the options that are given, and say why they change nothing."""
    given = [f"--{name}" for name in names if _is_given(name)]
    if given:
        console.note(f"Ignored {', '.join(given)}: {why}.")


def _is_given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source not in (None, ParameterSource.DEFAULT)
