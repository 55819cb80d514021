"""netspace merge: several networks of one task become one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.choices import Seconds, Selection, normalised, workers
from netspace_cli.commands.merge_remarks import remarks
from netspace_cli.commands.unused_options import warn_of_ignored
from netspace_cli.core.merging.plan import DISTILLING, ON_SPACE, WAYS, MergePlan
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer
from netspace_cli.terminal.interrupts import continues
from netspace_cli.views.view import view_of

if TYPE_CHECKING:
    from netspace_cli.core.merging.merge import Merged
    from netspace_cli.core.merging.ways import Way
    from netspace_cli.core.requests.merge import MergeTask
    from netspace_cli.core.runtime.runner import Runner

STOPPING = "Stopping after this step; the best so far is judged and written. Ctrl-C again to end at once."


@click.command()
@click.argument("networks", nargs=-1, required=True, type=options.INPUT)
@options.output(required=False, help="Where the merged network goes (.pt, .safetensors); a folder with --groups.")
@click.option(
    "--arch",
    callback=options.trust_named,
    metavar="NAME|PKG.MODULE:FACTORY",
    help="The architecture of the result. [default: the networks' own, or the largest of the space]",
)
@click.option(
    "--member-arch",
    "member_archs",
    multiple=True,
    callback=options.trust_named,
    metavar="PKG.MODULE:FACTORY",
    help="Architectures of the networks beside built-in architectures; may be given many times.",
)
@click.option("--method", type=click.Choice(list(WAYS)), help="Try this way alone. [default: all, the best is kept]")
@click.option(
    "--steps", type=click.IntRange(min=1), help="Steps of each way that distils, none of which is then stopped."
)
@click.option(
    "--budget",
    type=Seconds(),
    help="Time for all of it; with --groups for each group. [default: 2000 steps of all ways]",
)
@click.option("--images", type=click.IntRange(min=1), default=256, show_default=True, help="Images a step.")
@click.option(
    "--lr",
    type=click.FloatRange(min=0, min_open=True),
    help="Learning rate on weights; embeddings have the one that their space records. [default: 0.01 with --steps, "
    "else the better of 0.01 and 0.003]",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of the ensemble in the loss; the rest is that of the labels, if there are any.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Temperature of distilling.",
)
@click.option("--no-labels", is_flag=True, help="Use no labels, but for --select and the test images' scores.")
@click.option(
    "--weigh", is_flag=True, help="Weigh the networks that teach, as fits the labels of validation images best."
)
@click.option("--all-teach", is_flag=True, help="Let weak networks teach, too, whatever validation says.")
@click.option(
    "--select",
    type=Selection(),
    default="all",
    show_default=True,
    help="Of a zoo: its n best on validation images, or all.",
)
@click.option(
    "--groups",
    type=click.Choice(["seed"]),
    help="Merge a zoo group by group, those that differ in this alone; begun again, it goes on.",
)
@click.option("--plot", type=options.OUTPUT_PATH, metavar="F.png", help="Draw accuracy against time.")
@options.space_or_auto
@options.data
@normalised()
@options.key
@workers
@options.force
@options.dry_run
@options.running
@options.shared
def merge(
    networks: tuple[Path, ...],
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
    **asked: Any,
) -> None:
    """Make one network of several that were trained apart on one task.

    NETWORKS are checkpoints, folders of them or zoos, also of different architectures. The images need no labels. Every
    way to one network is tried; the best on validation images is written. All are shown beside the ensemble, which
    costs as much as all networks together.

    Ctrl-C ends distilling after the current step, and the best so far is written.

    Example: netspace merge a.pt b.pt c.pt --data images.npz -o one.pt
    """
    from netspace_cli.core.requests.merge import MergeRequest, seconds_by_way

    how = {name: asked.pop(name) for name in ("workers", "cluster")}
    runner = running.shared_by(**how).runner(console)
    names = ("method", "steps", "budget", "images", "lr", "alpha", "temperature")
    own = {name: asked.pop(name) for name in names}
    plan = MergePlan(
        **own, weigh=asked.pop("weigh"), labels=not asked.pop("no_labels"), choose_members=not asked.pop("all_teach")
    )
    if asked.pop("groups") is not None:
        _merge_groups(networks, plan, runner, console, dry_run, {**asked, **how})
        return
    if how["workers"] > 1 or how["cluster"] is not None:
        flag = "--workers" if how["cluster"] is None else "--cluster"
        raise click.UsageError(f"{flag} divides groups among processes. Give --groups, or leave it out.")
    task = MergeRequest(networks, **asked, plan=plan).prepare(runner)
    if dry_run:
        _show_plan(console, task)
        return
    _warn_of_options(console, plan, labelled=task.labelled)
    with runner:
        for hint in task.hints(runner):
            console.note(hint)
        found = task.run(runner, on_stop=lambda: console.note(STOPPING))
        report = runner.report()
    console.cost(report)
    _show(console, task, found)
    document = {**task.document(found), "report": {**report, "seconds_by_way": seconds_by_way(found)}}
    interrupted = task.interrupted(found)
    if interrupted is None:
        console.document(document)
    for remark in remarks(task, found):
        console.note(remark)
    if interrupted is not None:
        interrupted.reached = document
        raise interrupted


def _warn_of_options(console: Console, plan: MergePlan, *, labelled: bool) -> None:
    """Warn about options that change nothing on the way that was asked for."""
    way = plan.method
    if way is not None and way not in DISTILLING:
        warn_of_ignored(console, ("steps", "images", "lr", "alpha", "temperature"), f"{way} takes no steps")
    elif way == "labels-from-best":
        warn_of_ignored(console, ("alpha", "temperature"), f"{way} goes by labels alone")
    elif not labelled:
        warn_of_ignored(console, ("alpha",), "no labels are used")
    if way in ON_SPACE and way in DISTILLING:
        warn_of_ignored(console, ("lr",), "embeddings have the rate that their space records")


def _merge_groups(
    zoos: tuple[Path, ...], plan: MergePlan, runner: Runner, console: Console, dry_run: bool, asked: Mapping[str, Any]
) -> None:
    from netspace_cli.core.data.normalise import AS_IT_IS
    from netspace_cli.core.requests.merge_groups import MergeGroupsRequest, rows_of

    asked = {**asked, "normalise": asked["normalisation"] != AS_IT_IS}
    for name in ("arch", "member_archs", "select", "key", "plot", "force", "normalise"):
        if asked[name]:
            flag = name.removesuffix("s").replace("_", "-")
            raise click.UsageError(f"--{flag} is not for --groups. Leave out one of them.")
    own = {name: asked[name] for name in ("output", "data", "space", "workers", "cluster")}
    task = MergeGroupsRequest(zoos, **own, plan=plan).prepare(runner)
    if dry_run:
        rows = [(group.id, len(group.instances), group.instances[0].epochs) for group in task.left]
        console.table("would merge", ["id", Column("members", integer), "epochs"], rows)
        console.document({**task.record(), "groups": [row[0] for row in rows], "dry_run": True})
        return
    undivided = task.undivided()
    if undivided is not None:
        console.note(undivided)
    with runner, continues():
        found = rows_of(task.run(runner))
        report = runner.report()
    console.cost(report)
    columns: list[str | Column] = ["id", "arch", "epochs", Column("members", integer), "way"]
    accuracies = ("best", "test", "ensemble")
    console.table(
        f"{task.output}: groups of {task.zoo.path} that differ in their seed alone",
        [*columns, *(Column(name, view_of(task.zoo.kind).score.show) for name in accuracies)],
        [tuple(row.values()) for row in found],
    )
    console.document({**task.record(), "merged": found, "report": report})
    alone = len(task.zoo.instances) - sum(len(group.instances) for group in task.groups)
    console.note(f"{task.output}: {len(found)} networks, {len(task.left)} of them new; {alone} instances are alone.")


def _show(console: Console, task: MergeTask, found: Merged) -> None:
    show = view_of(task.kind).score.show
    console.table(
        f"{len(found.members)} networks to one {task.architecture.name}",
        [
            "way",
            Column("steps", integer),
            Column("rate", decimal),
            Column("seconds", _seconds),
            Column("val" if task.labelled else "choice", show),
            Column("test", show),
            Column("agreement", show),
            "about",
        ],
        [
            (
                way.name,
                way.steps or None,
                way.lr,
                way.seconds or None,
                way.scores.choice,
                way.scores.test,
                way.scores.agreement,
                _about(way),
            )
            for way in found.ways
        ],
    )


def _about(way: Way) -> str:
    """What there is to say of a way, in few words: the table is to fit a terminal of 80 columns."""
    return ", ".join(filter(None, ("chosen" if way.chosen else "", way.note)))


def _seconds(value: float) -> str:
    return f"{value:.1f}"


def _show_plan(console: Console, task: MergeTask) -> None:
    from netspace_cli.core.merging.panel import name_of

    console.table(
        f"would merge to a {task.architecture.name}",
        ["network", "arch", Column("parameters", integer)],
        [(name_of(m), m.architecture.name, m.architecture.parameter_count) for m in task.members],
    )
    members = [{"path": name_of(m), "arch": m.architecture.name} for m in task.members]
    console.document({**task.record(), "members": members, "dry_run": True})
    for path in filter(None, (task.request.output, task.request.plot)):
        console.note(f"{path} would be written.")
