"""netspace eval: target against predicted instances of a zoo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.evaluate_fields import show_fields
from netspace_cli.console import Column, Console, decimal, integer, percent

if TYPE_CHECKING:
    from netspace_cli.core.evaluate import Evaluation
    from netspace_cli.core.fields.evaluate import FieldEvaluation
    from netspace_cli.core.space import Space
    from netspace_cli.core.zoo import Zoo


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
    from netspace_cli.core.checks import check_no_input
    from netspace_cli.core.data_choice import check_zoo_images, data_for, recorded, required_data
    from netspace_cli.core.evaluate import evaluate as compare
    from netspace_cli.core.fields.data import FieldData
    from netspace_cli.core.fields.evaluate import evaluate_fields
    from netspace_cli.core.figures import check_figure, plot_evaluation
    from netspace_cli.core.files import check_output
    from netspace_cli.core.space_choice import check_zoo, space_for_zoo
    from netspace_cli.core.zoo import open_zoo

    runner = running.runner()
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
    found: dict[str, Evaluation] = {}
    fields: dict[str, FieldEvaluation] = {}
    with runner:
        for how, n in steps.items():
            wanted: dict[str, Any] = {"split": split, "refine_steps": n, "progress": console.reporter()}
            if isinstance(images, FieldData):
                fields[how] = evaluate_fields(opened, chosen, images, runner, **wanted)
            else:
                found[how] = compare(opened, chosen, images, runner, **wanted)
        report = runner.report()
    console.cost(report)
    if fields:
        show_fields(console, title, fields)
    else:
        if plot is not None:
            plot_evaluation(plot, found, force=force)
        _show_instances(console, title, found)
        _show_summaries(console, found)
        _explain_blanks(console, found)
    evaluations: list[Evaluation | FieldEvaluation] = [*found.values(), *fields.values()]
    _warn_of_seen(console, evaluations[0].summary(), chosen, split)
    numbers = [{"refine_steps": n, **_numbers(each)} for n, each in zip(steps.values(), evaluations, strict=True)]
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


def _numbers(found: Evaluation | FieldEvaluation) -> dict[str, Any]:
    from netspace_cli.core.fields.evaluate import FieldEvaluation

    if isinstance(found, FieldEvaluation):
        return {"instances": found.instances, "summary": found.summary()}
    by_arch = {arch: found.summary(arch) for arch in found.architectures()}
    return {"instances": found.instances, "summary": found.summary(), "by_arch": by_arch}


def _show_plan(
    console: Console, zoo: Zoo, split: str, steps: Mapping[str, int], document: Mapping[str, Any], plot: Path | None
) -> None:
    from netspace_cli.core.evaluate import read_targets

    counts = {instances[0].arch: len(instances) for instances, _ in read_targets(zoo, split)}
    console.table(
        "would compare",
        ["how", "arch", Column("n", integer), Column("refined", integer)],
        [(how, arch, n, each) for how, each in steps.items() for arch, n in counts.items()],
    )
    console.document({**document, "counts": counts, "runs": steps, "plot": plot, "dry_run": True})
    if plot is not None:
        console.note(f"{plot} would be written.")


def _show_instances(console: Console, title: str, found: Mapping[str, Evaluation]) -> None:
    console.table(
        title,
        [
            "id",
            "how",
            "arch",
            "predicted arch",
            "seen",
            Column("target", percent),
            Column("predicted", percent),
            Column("agreement", percent),
            Column("unrelated", percent),
        ],
        [
            (
                e.id,
                how,
                e.arch,
                e.predicted_arch,
                None if e.seen is None else "yes" if e.seen else "no",
                e.target_accuracy,
                e.predicted_accuracy,
                e.agreement,
                e.unrelated_agreement,
            )
            for how, each in found.items()
            for e in each.instances
        ],
    )


def _show_summaries(console: Console, found: Mapping[str, Evaluation]) -> None:
    rows = []
    for how, each in found.items():
        names: list[str | None] = [*each.architectures()]
        rows += [(name or "all", how, each.summary(name)) for name in (names if len(names) == 1 else [*names, None])]
    console.table(
        "summary",
        [
            "arch",
            "how",
            Column("n", integer),
            Column("seen", integer),
            Column("recognised", percent),
            Column("target", percent),
            Column("predicted", percent),
            Column("pearson", decimal),
            Column("mae", percent),
            Column("agreement", percent),
            Column("n paired", integer),
            Column("paired", percent),
            Column("unrelated", percent),
        ],
        [
            (
                arch,
                how,
                s["n"],
                s["seen"],
                s["arch_accuracy"],
                s["target_accuracy"],
                s["predicted_accuracy"],
                s["pearson"],
                s["mae"],
                s["agreement"],
                s["n_paired"],
                s["agreement_paired"],
                s["unrelated_agreement"],
            )
            for arch, how, s in rows
        ],
    )


def _explain_blanks(console: Console, found: Mapping[str, Evaluation]) -> None:
    """What a reader of the tables may ask."""
    summaries = [each.summary(arch) for each in found.values() for arch in (None, *each.architectures())]
    blank = []
    if any(s["pearson"] is None for s in summaries):
        blank.append(
            "pearson is blank for fewer than three instances, or where all targets or all predictions are alike."
        )
    if any(s["n_paired"] < s["n"] for s in summaries):
        blank.append("unrelated is blank where no other instance is as accurate.")
    if blank:
        console.note(" ".join(blank))


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
