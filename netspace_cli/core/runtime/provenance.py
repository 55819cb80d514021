"""Provenance of files: versions, and where the work ran."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from .runner import Runner


def provenance(runner: Runner | None = None) -> dict[str, Any]:
    """What the numbers depend on beside data and settings.

    It has no dates, so that the same run writes the same bytes.

    Args:
        runner: where the work runs; entered, so that its threads are set. None for the versions alone.
    Returns:
        netspace_version, torch_version, numpy_version, python_version; with a runner device, threads and
        precision too, and processes where they are several.
    """
    made_with: dict[str, Any] = {
        "netspace_version": version("netspace"),
        "torch_version": str(torch.__version__),
        "numpy_version": version("numpy"),
        "python_version": platform.python_version(),
    }
    if runner is not None:
        made_with |= {
            "device": runner.device_name,
            "threads": torch.get_num_threads(),
            "precision": runner.precision_name,
        }
        if runner.processes.count > 1:
            made_with["processes"] = runner.processes.count
    return made_with
