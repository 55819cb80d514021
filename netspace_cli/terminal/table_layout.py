"""Tables that fit the terminal's width, and break lines only between words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2  # columns of the screen between two of the table
WORD = 24  # characters; what is longer (a hash) is no word, and may be broken where all else has been tried
# A piece that is kept whole: a word with the blanks after it, or a part of a path or name up to its separator.
_PIECE = re.compile(r"[^\s/_.,:=-]*[/_.,:=-]*\s*")


@dataclass(frozen=True)
class Field:
    """A column of text cells.

    Args:
        name: its heading.
        cells: of all rows.
        numeric: set to the right, and never broken.
    """

    name: str
    cells: Sequence[str]
    numeric: bool = False

    def natural(self) -> int:
        """Width at which no line is broken."""
        return max(_width(self.name), self.widest())

    def widest(self) -> int:
        """Width at which no cell is broken, but the heading may be."""
        return max(map(_width, self.cells), default=0)

    def least(self) -> int:
        """Smallest width at which no word or number is broken."""
        cells = list(self.cells) if self.numeric else [piece for cell in self.cells for piece in pieces(cell)]
        return max((_width(each.rstrip()) for each in (*self.name.split(), *cells)), default=0)


def pieces(text: str) -> list[str]:
    """Split a text where a line may end: after blanks, and after the separators of paths and names."""
    return [piece for piece in _PIECE.findall(text) if piece]


def fold(text: str, width: int) -> list[str]:
    """Fold a text into lines of at most `width`; only blanks at line ends are lost."""
    lines = [""]
    for piece in pieces(text):
        if lines[-1] and _width(lines[-1]) + _width(piece.rstrip()) > width:
            lines.append("")
        while _width(piece.rstrip()) > width:
            head = _head(piece, width)
            lines[-1] = head
            lines.append("")
            piece = piece[len(head) :]
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def widths(fields: Sequence[Field], room: int) -> list[int] | None:
    """Widths of the columns, fitted into `room` without breaking words.

    Headings are narrowed before cells, the widest columns first.

    Returns:
        None where they do not fit.
    """
    room -= GAP * (len(fields) - 1)
    whole, words = [f.natural() for f in fields], [f.least() for f in fields]
    cells = [max(f.least(), f.widest()) for f in fields]
    for least in (cells, words, [min(word, WORD) for word in words]):
        if sum(least) > room:
            whole = least  # what has given way before gives way again
            continue
        limit = max(whole, default=0)
        while sum(found := [max(small, min(limit, wide)) for small, wide in zip(least, whole, strict=True)]) > room:
            limit -= 1
        return found
    return None


def table_of(fields: Sequence[Field], room: int) -> Table:
    """The rows as a rich table, or as a list of records if columns would break words.

    Args:
        fields: as many cells in each.
        room: width of the screen.
    """
    found = widths(fields, room)
    return _records(fields, room) if found is None else _columns(fields, found)


def _columns(fields: Sequence[Field], found: Sequence[int]) -> Table:
    table = _empty()
    for field, width in zip(fields, found, strict=True):
        heading = "\n".join(fold(field.name, width))
        table.add_column(heading, justify="right" if field.numeric else "left", width=width, no_wrap=True)
    for row in zip(*(field.cells for field in fields), strict=True):
        table.add_row(*("\n".join(fold(cell, width)) for cell, width in zip(row, found, strict=True)))
    return table


def _records(fields: Sequence[Field], room: int) -> Table:
    names = Field("", [field.name for field in fields])
    left = min(names.natural(), max(1, room // 2))
    right = max(1, room - GAP - left)
    table = _empty(headed=False)
    table.add_column(width=left, no_wrap=True)
    table.add_column(width=right, no_wrap=True)
    for row in zip(*(field.cells for field in fields), strict=True):
        for field, cell in zip(fields, row, strict=True):
            last = field is fields[-1]
            table.add_row("\n".join(fold(field.name, left)), "\n".join(fold(cell, right)), end_section=last)
    return table


def _empty(*, headed: bool = True) -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        box=box.SIMPLE_HEAD if headed else box.SIMPLE,
        show_header=headed,
        show_edge=False,
        pad_edge=False,
        padding=(0, GAP - 1, 0, 0),
    )


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _head(text: str, width: int) -> str:
    """As many characters as fit, at least one."""
    end = 1
    while end < len(text) and _width(text[: end + 1]) <= width:
        end += 1
    return text[:end]
