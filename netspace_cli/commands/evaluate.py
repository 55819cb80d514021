"""netspace eval: target against predicted instances of a zoo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from netspace_cli import options
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, integer
from netspace_cli.views import evaluate_fields, evaluate_images

if TYPE_CHECKING:
    from netspace_cli.core.spaces.space import Space
    from netspace_cli.core.zoos.zoo import Zoo


class Way(Protocol):
    """How networks of one kind are compared and shown: evaluate_images, evaluate_fields."""

    def compare(self, zoo: Zoo, space: Space, data: Any, runner: Any, **wanted: Any) -> Any:
        """The evaluation of one way to an embedding."""

    def show(self, console: Console, title: str, found: Mapping[str, Any]) -> None:
        """All of them, as tables."""

    def numbers(self, found: Any) -> dict[str, Any]:
        """One of them, for the JSON document; has `instances` and `summary`."""


@click.command(name="eval")
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Instances of the zoo.",
)
@click.option("--plot", type=options.OUTPUT_PATH, metavar="F.png", help="Draw target against predicted accuracy.")
@click.option(
    "--refine",
    type=click.IntRange(min=0),
    metavar="N",
    help="Refine each embedding by N steps; 0 for the encoder alone. [default: both, by what the space records]",
)
@options.space
@options.data
@options.force
@options.dry_run
@options.running
@options.shared
def evaluate(
    zoo: Path,
    split: str,
    plot: Path | None,
    refine: int | None,
    space: str | None,
    data: str | None,
    force: bool,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
) -> None:
    """Compare every instance of a zoo with what its embedding decodes to, on the test images; networks that are
    signals on a grid of points.

    "unrelated" is the agreement between an instance and others of equal accuracy: what a space must beat.
    "paired" is the agreement of those instances alone that have such others.

    Example: netspace eval zoo/ --space space.safetensors --refine 200 --plot fidelity.png
    """
    from netspace_cli.core.data.points import FieldData
    from netspace_cli.core.evaluation.evaluation_figure import plot_evaluation
    from netspace_cli.core.evaluation.same_data import check_zoo_images
    from netspace_cli.core.files.figures import check_figure
    from netspace_cli.core.files.outputs import check_no_input, check_output
    from netspace_cli.core.requests.choose_data import data_for, recorded, required_data
    from netspace_cli.core.requests.choose_space import check_zoo, space_for_zoo
    from netspace_cli.core.zoos.zoo import open_zoo

    runner = running.runner(console)
    if plot is not None:
        check_no_input([plot], [space])
        check_output(plot, force=force)
        check_figure(plot)
    opened = open_zoo(zoo)
    chosen = space_for_zoo(space, opened)
    check_zoo_images(opened, chosen)
    check_zoo(opened, chosen, split)
    images = required_data(data_for(chosen, data), chosen)
    if plot is not None and isinstance(images, FieldData):
        raise click.UsageError("--plot draws accuracies, which networks that are signals have not.")
    steps = _steps_of(refine, chosen)
    document = {"space": chosen.name, "data": recorded(images), "zoo": zoo, "split": split}
    if dry_run:
        _show_plan(console, opened, split, steps, document, plot)
        return
    title = f"{zoo}, {split} instances in space {chosen.name}"
    way: Way = evaluate_fields if isinstance(images, FieldData) else evaluate_images
    with runner:
        found = {
            how: way.compare(opened, chosen, images, runner, split=split, refine_steps=n) for how, n in steps.items()
        }
        report = runner.report()
    console.cost(report)
    if plot is not None:
        plot_evaluation(plot, found, force=force)
    way.show(console, title, found)
    numbers = [{"refine_steps": n, **way.numbers(found[how])} for how, n in steps.items()]
    _warn_of_seen(console, numbers[0]["summary"], chosen, split)
    document |= numbers[0]
    if len(numbers) > 1:
        document["refined"] = numbers[1]
    console.document(document | {"report": report})
    if plot is not None:
        console.note(f"Wrote {plot}.")


def _steps_of(refine: int | None, space: Space) -> dict[str, int]:
    """How embeddings are made, and by how many steps each: both ways where nothing was asked for."""
    if refine is None:
        own = space.recipe.refine.steps
        return {"encoded": 0, **({"refined": own} if own else {})}
    return {"refined": refine} if refine else {"encoded": 0}


def _show_plan(
    console: Console, zoo: Zoo, split: str, steps: Mapping[str, int], document: Mapping[str, Any], plot: Path | None
) -> None:
    from netspace_cli.core.evaluation.evaluate_classifiers import read_targets

    counts = {instances[0].arch: len(instances) for instances, _ in read_targets(zoo, split)}
    console.table(
        "would compare",
        ["how", "arch", Column("n", integer), Column("refined", integer)],
        [(how, arch, n, each) for how, each in steps.items() for arch, n in counts.items()],
    )
    console.document({**document, "counts": counts, "runs": steps, "plot": plot, "dry_run": True})
    if plot is not None:
        console.note(f"{plot} would be written.")


def _warn_of_seen(console: Console, whole: Mapping[str, Any], space: Space, split: str) -> None:
    """Whether the space knew these instances."""
    if whole["seen"] is None:
        console.note(
            f"Space {space.name} does not record the files it was trained on, so it is not known whether it has "
            "seen these instances."
        )
    elif whole["seen"] and split == "test":
        console.note(
            f"Caution: {whole['seen']} of these {whole['n']} test instances took part in the training of space "
            f"{space.name}; on them it is not tested."
        )
