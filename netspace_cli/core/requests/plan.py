"""Plans for --dry-run: inputs are read and checked, and nothing is computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netspace_cli.core.data.data import Data
from netspace_cli.core.encoding.encode import default_refine_steps
from netspace_cli.core.encoding.refine import check_refining
from netspace_cli.core.spaces.embeddings import is_embedding
from netspace_cli.core.spaces.space import Space

from .inputs import load_one_embedding, read_networks
from .reader import CheckpointReader


def planned_inputs(
    paths: Sequence[Path],
    space: Space,
    *,
    data: Data | None,
    refine_steps: int | None = None,
    reader: CheckpointReader | None = None,
) -> list[dict[str, Any]]:
    """Describe the inputs as `read_inputs` would read them, with the same refusals.

    Returns:
        {path, arch, parameters, refine_steps} of each; refine_steps is None for an embedding file, which is
        taken as it is.
    Raises:
        InputFileError: an embedding file with more than one embedding.
        WrongSpace: an input of another space.
        DataUnavailable: checkpoints are to be refined and there are no images.
    """
    steps = default_refine_steps(space, data) if refine_steps is None else refine_steps
    rows = []
    for path in paths:
        if is_embedding(path):
            architecture = space.model.architecture(load_one_embedding(path, space).origins[0].arch)
        else:
            check_refining(space, data, steps)
            architecture = read_networks([path], space, reader, data)[0].architecture
        rows.append(
            {
                "path": path,
                "arch": architecture.name,
                "parameters": architecture.parameter_count,
                "refine_steps": None if is_embedding(path) else steps,
            }
        )
    return rows
