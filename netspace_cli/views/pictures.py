"""Views of pictures: how much each step of a path changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, percent

from .fields import FieldView
from .shapes import show_paths

if TYPE_CHECKING:
    from netspace_cli.core.paths.walks import Walks


class PictureView(FieldView):
    """Columns and tables of pictures."""

    def show_path(self, console: Console, found: Walks) -> None:
        """Show how much each picture differs from the step before."""
        columns = [Column("change from the step before", percent)]
        show_paths(console, "from one picture to the other", columns, found.seen)
