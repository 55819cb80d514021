"""netspace eval, of classifiers: its tables and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer, percent

if TYPE_CHECKING:
    from netspace_cli.core.evaluation.evaluate_classifiers import Evaluation


def compare(*given: Any, **wanted: Any) -> Evaluation:
    """`core.evaluation.evaluate_classifiers`."""
    from netspace_cli.core.evaluation.evaluate_classifiers import evaluate

    return evaluate(*given, **wanted)


def show(console: Console, title: str, found: Mapping[str, Evaluation]) -> None:
    """Every instance, each architecture's means, and why some of them are blank."""
    _show_instances(console, title, found)
    _show_summaries(console, found)
    _explain_blanks(console, found)


def numbers(found: Evaluation) -> dict[str, Any]:
    """Instances, the summary of all, and that of each architecture."""
    by_arch = {arch: found.summary(arch) for arch in found.architectures()}
    return {"instances": found.instances, "summary": found.summary(), "by_arch": by_arch}


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
