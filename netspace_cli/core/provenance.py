"""How a file came to be: versions, for the records of spaces and checkpoints."""

from __future__ import annotations

from importlib.metadata import version

import torch


def provenance() -> dict[str, str]:
    """Versions of what the numbers depend on. No dates: the same run writes the same bytes."""
    return {"netspace_version": version("netspace"), "torch_version": str(torch.__version__)}
