"""--devices: run a command as several processes that work together, or as one of those that a launcher has started."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from netspace_models.errors import Interrupted, ProcessLost

from netspace_cli import options
from netspace_cli.terminal.console import Console

if TYPE_CHECKING:
    from netspace_cli.core.runtime.places import Place


def devices(command: Callable[..., Any]) -> Callable[..., Any]:
    """--devices, --patience: runs the command in several processes; each passes `running` with its place among them.

    The command writes `output`, a space, if it is no `dry_run`, and takes `running` and `console`.
    """

    @functools.wraps(command)
    def with_devices(*args: Any, devices: int | None, patience: float, **rest: Any) -> Any:
        place, count = _place(devices), devices or 1
        if place is None and count > 1:
            from netspace_cli.core.runtime.launch import check_count
            from netspace_cli.core.runtime.places import Place

            check_count(count)
            if not rest["dry_run"]:
                return _launched(count, rest["output"], rest["console"])
            place = Place(0, count, 0, count)  # that of none that has started: a plan does not need the others
        if place is None:
            return command(*args, **rest)
        return _as_one_of_them(command, place, patience, *args, **rest)

    for option in (
        click.option(
            "--patience",
            type=click.FloatRange(min=1),
            default=600,
            metavar="SECONDS",
            help="With several processes: how long each waits for the others before the run fails.",
        ),
        click.option(
            "--devices",
            type=click.IntRange(min=1),
            metavar="N",
            help="Number of processes that share each step: one for each accelerator, or on the processor with "
            "--device cpu, each with --threads threads. [default: 1, or as torchrun says]",
        ),
    ):
        with_devices = option(with_devices)
    return with_devices


def _place(devices: int | None) -> Place | None:
    """Place of this process among those that a launcher has started; None without one."""
    from netspace_cli.core.runtime.places import place_in

    place = place_in(os.environ)
    if place is not None and place.launcher_pipe is None and devices not in (None, place.count):
        raise click.UsageError(
            f"--devices {devices} was given, and the launcher has started {place.count} processes. Leave out --devices."
        )
    return place


def _launched(count: int, output: Path, console: Console) -> int:
    """Start the same command as several processes; returns its exit code."""
    from netspace_cli.cli import ARGUMENTS
    from netspace_cli.core.runtime.launch import launch

    arguments = click.get_current_context().find_root().meta[ARGUMENTS]
    try:
        return launch(
            [sys.executable, "-m", "netspace_cli", *arguments],
            count,
            on_start=lambda number, pid: console.detail(f"process {number} of {count} has the process id {pid}"),
        )
    except ProcessLost as lost:
        from netspace_cli.core.training.run_folder import RunFolder

        lost.hint = RunFolder.of(output).how_to_continue()
        raise


def _as_one_of_them(
    command: Callable[..., Any],
    place: Place,
    patience: float,
    *args: Any,
    running: options.RunnerOptions,
    console: Console,
    **rest: Any,
) -> Any:
    """Run the command as one of several processes, of which only process 0 talks to the user."""
    from netspace_cli.core.runtime.launch import LOST

    if place.number > 0:
        console.mute()
    try:
        return command(*args, running=replace(running, place=place, patience=patience), console=console, **rest)
    except ProcessLost:
        if place.launcher_pipe is None:
            raise
        return LOST  # the launcher knows which process it was
    except Interrupted as stopped:
        if place.number == 0:
            raise
        return stopped.exit_code
