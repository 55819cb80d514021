"""Write a path as files: rows, a figure, a checkpoint per step."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from netspace_cli.core.files.figures import check_figure
from netspace_cli.core.files.outputs import atomic_write, check_folder, check_output
from netspace_cli.core.kinds.kind import PathStep
from netspace_cli.core.networks.network import write_network
from netspace_cli.core.networks.path_step import Step


def check_path_outputs(csv_path: Path | None, plot: Path | None, folder: Path | None, *, force: bool) -> None:
    """Refuse outputs that cannot be written, before any work.

    Raises:
        OutputExists: one is taken and `force` is not given.
        ConfigError: a figure that cannot be drawn.
    """
    for path in (csv_path, plot):
        if path is not None:
            check_output(path, force=force)
    if plot is not None:
        check_figure(plot)
    if folder is not None:
        check_folder(folder)
        for taken in steps_in(folder):
            check_output(taken, force=force)


def steps_in(folder: Path) -> list[Path]:
    """Files of an earlier path in a folder."""
    return sorted(folder.glob("step-*.pt"))


def write_csv(path: Path, walks: Mapping[str, Sequence[PathStep]], *, force: bool = False) -> None:
    """Write one row per step; failed steps have rows too.

    Args:
        walks: by name; the rows are those of the first, and each other has a column of each of its scores but the loss.
    """
    (main, steps), *others = walks.items()
    baselines = dict(others)
    scores = steps[0].scores
    header = ["step", "gamma", "arch", "parameters", *scores, "error"]

    def write(target: Path) -> None:
        with target.open("w", newline="") as f:
            table = csv.writer(f)
            beside = [(walk, score) for walk in baselines.values() for score in scores if score != "loss"]
            table.writerow(
                ["path", *header, *(_heading(name, score) for name in baselines for score in scores if score != "loss")]
            )
            for i, step in enumerate(steps):
                row = step.row()
                cells = [walk[i].row().get(score, "") for walk, score in beside]
                table.writerow([main, *(row.get(name, "") for name in header), *cells])

    atomic_write(path, write, force=force)


def _heading(baseline: str, score: str) -> str:
    name = baseline.replace(" ", "_")
    return name if score in ("accuracy", "r2") else f"{name}_{score}"


def write_steps(folder: Path, steps: Sequence[Step], *, force: bool = False) -> None:
    """Write each step's checkpoint as `step-NNN.pt`; a failed step has no file, and its number is left out.

    A folder holds one path: with `force`, files of an earlier path are replaced, and removed where this one has none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = set()
    for step in steps:
        if not step.error:
            network = step.network
            written.add(folder / f"step-{step.step:03d}.pt")
            metadata = {"netspace.arch": network.architecture.name}
            write_network(folder / f"step-{step.step:03d}.pt", network, metadata=metadata, force=force)
    for old in steps_in(folder) if force else ():
        if old not in written:
            old.unlink()
