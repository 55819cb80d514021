"""Views of classifiers: accuracies, agreement, paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer, percent

if TYPE_CHECKING:
    from netspace_cli.core.kinds.images import ImageEvaluation
    from netspace_cli.core.paths.walks import Walks
    from netspace_cli.core.zoos.zoo import Instance


class ClassifierView:
    """Columns and tables of classifiers."""

    fidelity: Sequence[tuple[str, Column]] = (
        ("target_accuracy", Column("target", percent)),
        ("predicted_accuracy", Column("predicted", percent)),
        ("agreement", Column("agreement", percent)),
    )
    score = Column("accuracy", percent)
    instance: Sequence[str | Column] = ("epochs", Column("val", percent), Column("test", percent))
    decoded: Sequence[tuple[str, Column]] = (("accuracy", Column("accuracy", percent)),)

    def instance_row(self, instance: Instance) -> Sequence[object]:
        """Epochs and accuracies on two splits."""
        return (instance.epochs, instance.accuracy.get("val"), instance.accuracy.get("test"))

    def note_fidelity(self, console: Console, row: Mapping[str, Any]) -> None:
        """No note: accuracies show everything."""

    def show_evaluation(self, console: Console, title: str, found: Mapping[str, ImageEvaluation]) -> None:
        """Show every instance, each architecture's means, and why some of them are blank."""
        _show_instances(console, title, found)
        _show_summaries(console, found)
        _explain_blanks(console, found)

    def show_path(self, console: Console, found: Walks) -> None:
        """Show a row per step, with the scores of the other paths."""
        path, baselines = found.networks[found.main], found.baselines
        columns: list[str | Column] = ["step", Column("gamma", decimal), "arch", Column("parameters", integer)]
        columns += [self.score, Column("loss", decimal)]
        columns += [Column(name, self.score.show) for name in baselines]
        rows = []
        for i, step in enumerate(path):
            row = step.row()
            cells = [row.get(name) for name in ("step", "gamma", "arch", "parameters", *step.scores)]
            rows.append([*cells, *(found.networks[name][i].accuracy for name in baselines)])
        console.table("from one network to the other", columns, rows)
        for step in path:
            if step.error:
                console.note(f"step {step.step}: {step.error}")


def _show_instances(console: Console, title: str, found: Mapping[str, ImageEvaluation]) -> None:
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


def _show_summaries(console: Console, found: Mapping[str, ImageEvaluation]) -> None:
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


def _explain_blanks(console: Console, found: Mapping[str, ImageEvaluation]) -> None:
    """Explain blank cells."""
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
