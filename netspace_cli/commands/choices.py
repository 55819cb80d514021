"""Options of several commands and their types: shares, bandwidths, selections, epochs, seconds, normalisation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from netspace_cli.core.runtime.cluster import Cluster

# Seconds in each unit of time.
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Share(click.ParamType):
    """A share of the instances: 30%, 0.3 or all."""

    name = "n%|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip()
        if text == "all":
            return 1.0
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            self.fail(f"invalid share {value!r}: write 30%, 0.3 or all.", param, ctx)
        return share


class BandwidthType(click.ParamType):
    """A number, or the name of a rule; the method checks either."""

    name = "number|rule"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        try:
            return float(value)
        except ValueError:
            return str(value)


class Selection(click.ParamType):
    """Instances to take: top:10 or all."""

    name = "top:n|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or isinstance(value, int):
            return value
        word, _, number = str(value).partition(":")
        if word == "all" and not number:
            return None
        if word == "top" and number.isdecimal() and int(number) > 0:
            return int(number)
        self.fail(f"invalid selection {value!r}: write top:10 or all.", param, ctx)


class Seconds(click.ParamType):
    """60, 60s, 10m or 2h."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip()
        unit = UNITS.get(text[-1:])
        try:
            seconds = float(text[:-1]) * unit if unit else float(text)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            self.fail(f"{value!r} is not a time: write 60s, 10m or 2h.", param, ctx)
        return seconds


class Epochs(click.ParamType):
    """Numbers of epochs, separated by commas."""

    name = "n,n,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdecimal() for part in parts):
            self.fail(f"invalid epochs {value!r}: write numbers, as in 0,1,5,25.", param, ctx)
        return tuple(int(part) for part in parts)


class Numbers(click.ParamType):
    """A number for each channel, with commas between."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        try:
            return tuple(float(number) for number in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a number for each channel, as in 0.49,0.48,0.45.", param, ctx)


class ClusterType(click.ParamType):
    """A kind of cluster and parameters of its jobs: slurm:slurm_partition=gpu,gpus_per_node=1 or ray:num_gpus=1."""

    name = "kind:key=value,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from netspace_cli.core.runtime.cluster import KINDS, Cluster

        if isinstance(value, Cluster):
            return value
        kind, _, rest = str(value).partition(":")
        pairs = [pair.partition("=") for pair in rest.split(",") if pair]
        if kind not in KINDS or any(not (name and equals and setting) for name, equals, setting in pairs):
            self.fail(
                f"invalid cluster {value!r}: write {', '.join(KINDS[:-1])} or {KINDS[-1]}, with parameters as in "
                "slurm:slurm_partition=gpu,gpus_per_node=1.",
                param,
                ctx,
            )
        found = {name: int(setting) if setting.isdecimal() else setting for name, _, setting in pairs}
        return Cluster(kind, found)


def workers(command: Any) -> Any:
    """--workers, --cluster: passes `workers: int` and `cluster: Cluster | None`."""

    @functools.wraps(command)
    def with_workers(*args: Any, workers: int, cluster: Cluster | None, **rest: Any) -> Any:
        if workers > 1 and cluster is None and not rest.get("dry_run"):
            from netspace_cli.core.runtime.executors import begin_server

            begin_server()
        return command(*args, workers=workers, cluster=cluster, **rest)

    found: Any = with_workers
    for option in (
        click.option(
            "--cluster",
            type=ClusterType(),
            help="Run these processes as jobs of a cluster: slurm, or local to try it out here, by submitit; or ray. "
            "Its settings follow, as in slurm:slurm_partition=gpu or ray:num_gpus=1. [default: on this machine]",
        ),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Number of processes that the networks are divided among, each with one CPU thread; they use all "
            "accelerators of the machine. With --cluster, the number of jobs.",
        ),
    ):
        found = option(found)
    return found


def normalised(
    remark: str = "", default: str = "as published for cifar10 and tiny-imagenet, else own"
) -> Callable[[Any], Any]:
    """--normalise, --mean, --std: passes `normalisation: Normalisation`.

    Args:
        remark: on what it is, for the help; default: in words.
    """
    return functools.partial(_normalised, remark=remark, default=default)


def _normalised(command: Any, remark: str, default: str) -> Any:
    @functools.wraps(command)
    def with_normalisation(
        *args: Any, normalise: str | None, mean: tuple[float, ...] | None, std: tuple[float, ...] | None, **rest: Any
    ) -> Any:
        from netspace_cli.core.data.normalise import Normalisation

        return command(*args, normalisation=Normalisation(normalise, mean, std), **rest)

    for option in (
        click.option("--std", type=Numbers(), help="Deviation that pixels of 0 to 1 are divided by, as --mean."),
        click.option("--mean", type=Numbers(), metavar="R,G,B", help="Mean that is taken off pixels of 0 to 1."),
        click.option(
            "--normalise",
            type=click.Choice(["imagenet", "half", "none", "own"]),
            help=f"Normalisation of pixels, {remark}ImageNet's, (x - 0.5) / 0.5, none, or by the training "
            f"images' own mean and deviation. [default: {default}]",
        ),
    ):
        with_normalisation = option(with_normalisation)
    return with_normalisation
