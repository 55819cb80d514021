"""The interface of views, and the view of each kind of network."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column

if TYPE_CHECKING:
    from netspace_cli.core.kinds.kind import Kind
    from netspace_cli.core.paths.walks import Walks
    from netspace_cli.core.zoos.zoo import Instance

# By the name of the kind; a new kind has a line here.
VIEWS = {
    "classifiers": "netspace_cli.views.classifiers:ClassifierView",
    "shapes": "netspace_cli.views.shapes:ShapeView",
    "pictures": "netspace_cli.views.pictures:PictureView",
    "fields": "netspace_cli.views.fields:FieldView",
    "regressors": "netspace_cli.views.regressors:RegressorView",
}


class View(Protocol):
    """Columns and tables of one kind of network.

    Attributes:
        fidelity: how a predicted instance compares with its target: names of `Kind.compare`'s values, and columns.
        score: column of what objectives score networks by.
        instance: columns of an instance of a zoo.
        decoded: columns of a decoded network beside its architecture.
    """

    fidelity: Sequence[tuple[str, Column]]
    score: Column
    instance: Sequence[str | Column]
    decoded: Sequence[tuple[str, Column]]

    def instance_row(self, instance: Instance) -> Sequence[object]:
        """Cells under the columns `instance`."""
        ...

    def note_fidelity(self, console: Console, row: Mapping[str, Any]) -> None:
        """Warn about a network that its embedding does not reproduce; `row` has its `path` and fidelity."""
        ...

    def show_evaluation(self, console: Console, title: str, found: Mapping[str, Any]) -> None:
        """Show evaluations by way of embedding, as tables."""
        ...

    def show_path(self, console: Console, found: Walks) -> None:
        """Show a path, and the others with it."""
        ...


def view_of(kind: Kind) -> View:
    """Find the view of a kind of network."""
    module, _, name = VIEWS[kind.name].partition(":")
    found: View = getattr(importlib.import_module(module), name)()
    return found
