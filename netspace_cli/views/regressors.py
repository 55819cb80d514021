"""Views of regressors: R², agreement, paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer, percent

if TYPE_CHECKING:
    from netspace_cli.core.kinds.tables import TableEvaluation
    from netspace_cli.core.paths.walks import Walks
    from netspace_cli.core.zoos.zoo import Instance

MEASURES = (
    ("target_r2", Column("target R²", decimal)),
    ("predicted_r2", Column("predicted R²", decimal)),
    ("agreement", Column("agreement", decimal)),
)


class RegressorView:
    """Columns and tables of regressors."""

    fidelity: Sequence[tuple[str, Column]] = MEASURES
    score = Column("R²", decimal)
    instance: Sequence[str | Column] = ("epochs", Column("val R²", decimal), Column("test R²", decimal))
    decoded: Sequence[tuple[str, Column]] = (("r2", Column("R²", decimal)),)

    def instance_row(self, instance: Instance) -> Sequence[object]:
        """Epochs and R² on two splits."""
        return (instance.epochs, instance.accuracy.get("val"), instance.accuracy.get("test"))

    def note_fidelity(self, console: Console, row: Mapping[str, Any]) -> None:
        """No note: R² shows everything."""

    def show_evaluation(self, console: Console, title: str, found: Mapping[str, TableEvaluation]) -> None:
        """Show every instance and each architecture's means."""
        columns = [*(column for _, column in MEASURES), Column("unrelated", decimal)]
        names = [*(name for name, _ in MEASURES), "unrelated_agreement"]
        console.table(
            title,
            ["id", "how", "arch", "predicted arch", "seen", *columns],
            [
                (
                    e.id,
                    how,
                    e.arch,
                    e.predicted_arch,
                    None if e.seen is None else "yes" if e.seen else "no",
                    *(vars(e)[name] for name in names),
                )
                for how, each in found.items()
                for e in each.instances
            ],
        )
        rows = []
        for how, each in found.items():
            known: list[str | None] = [*each.architectures()]
            for arch in known if len(known) == 1 else [*known, None]:
                s = each.summary(arch)
                shown = ("n", "seen", "arch_accuracy", "target_r2", "predicted_r2", "pearson", "mae", *names[2:])
                rows.append((arch or "all", how, *(s[name] for name in shown)))
        counts = [Column("n", integer), Column("seen", integer), Column("recognised", percent)]
        means = [Column(name, decimal) for name in ("target R²", "predicted R²", "pearson", "mae")]
        console.table("summary", ["arch", "how", *counts, *means, *columns[2:]], rows)
        console.note(
            "agreement is R² of the predicted instance's outputs against the target instance's; unrelated that of "
            "other instances' outputs."
        )

    def show_path(self, console: Console, found: Walks) -> None:
        """Show a row per step, with R² of the other paths."""
        path, baselines = found.networks[found.main], found.baselines
        columns: list[str | Column] = ["step", Column("gamma", decimal), "arch", Column("parameters", integer)]
        columns += [self.score, Column("loss", decimal), *(Column(name, decimal) for name in baselines)]
        rows = []
        for i, step in enumerate(path):
            row = step.row()
            cells = [row.get(name) for name in ("step", "gamma", "arch", "parameters", "r2", "loss")]
            rows.append([*cells, *(found.networks[name][i].accuracy for name in baselines)])
        console.table("from one network to the other", columns, rows)
        for step in path:
            if step.error:
                console.note(f"step {step.step}: {step.error}")
