"""Views of regressors: R² and agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer, percent

from .classifiers import ClassifierView

MEASURES = (
    ("target_r2", Column("target R²", decimal)),
    ("predicted_r2", Column("predicted R²", decimal)),
    ("agreement", Column("agreement", decimal)),
)


class RegressorView(ClassifierView):
    """Columns and tables of regressors; paths and instances are shown as those of classifiers."""

    fidelity: Sequence[tuple[str, Column]] = MEASURES
    score = Column("R²", decimal)
    instance: Sequence[str | Column] = ("epochs", Column("val R²", decimal), Column("test R²", decimal))
    decoded: Sequence[tuple[str, Column]] = (("r2", Column("R²", decimal)),)

    def show_evaluation(self, console: Console, title: str, found: Mapping[str, Any]) -> None:
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
