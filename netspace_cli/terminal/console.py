"""All output of netspace: results on stdout, everything else on stderr.

On a terminal results are rich tables and progress is a bar. Piped, results are tab-separated rows and
progress is a log line now and then: no escape codes, nothing cut, whatever COLUMNS says. With --json
stdout carries one document and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from netspace_cli.terminal.formats import Column, one_line, text
from netspace_cli.terminal.json_document import render_document
from netspace_cli.terminal.progress_bar import Bar, LogLines, Reporter, SilentReporter, duration, rate_of
from netspace_cli.terminal.streams import is_dumb, screen_of, write, write_message

if TYPE_CHECKING:
    pass


class Console:
    """Where a command shows results and reports progress. A context manager.

    Args:
        json: results are one JSON document; tables and progress are left out.
        quiet: no notes, no progress; results and errors still come.
        verbose: details as well.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.json, self.quiet, self.verbose = json, quiet, verbose
        self._documented = self._mute = False
        self._reporter: Reporter | None = None

    def mute(self) -> None:
        """Show nothing from now on, in one of several processes that another one speaks for."""
        self.json, self.quiet, self.verbose, self._mute = False, True, False, True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self._reporter, Bar):
            self._reporter.close()

    def table(self, title: str, columns: Sequence[str | Column], rows: Iterable[Sequence[object]]) -> None:
        """Show rows, one value per column; the title is shown on terminals only.

        Raises:
            ValueError: a row without a value for each column, or with more.
        """
        if self.json or self._mute:
            return
        full = [Column(column) if isinstance(column, str) else column for column in columns]
        if sys.stdout.isatty():
            self._rich_table(title, full, rows)
            return
        write(sys.stdout, "\t".join(one_line(column.name) for column in full))
        for row in rows:
            write(sys.stdout, "\t".join(c.plain(value) for c, value in zip(full, row, strict=True)))

    def markdown(self, text: str) -> None:
        """Show a page of Markdown: formatted on a terminal, as plain text elsewhere."""
        if self.json or self._mute:
            return
        if sys.stdout.isatty():
            from rich.markdown import Markdown

            screen_of(sys.stdout).print(Markdown(text))
            return
        for line in text.splitlines():
            write(sys.stdout, line)

    def document(self, document: Mapping[str, object]) -> None:
        """Print the command's JSON document if --json is given.

        Raises:
            RuntimeError: a second document.
        """
        if not self.json:
            return
        if self._documented:
            raise RuntimeError("a command prints one JSON document, and this is the second.")
        self._documented = True
        write(sys.stdout, render_document(document))

    def note(self, message: str) -> None:
        """Print a note for people on stderr."""
        if self.quiet or (isinstance(self._reporter, Bar) and self._reporter.say(message)):
            return
        write_message(message)

    def detail(self, message: str) -> None:
        """Print a note on stderr with --verbose only."""
        if self.verbose:
            self.note(message)

    def cost(self, report: Mapping[str, Any]) -> None:
        """Print the cost of the work from the runner's report, with --verbose only."""
        rate = report["items_per_second"]
        parts = [
            f"{duration(report['seconds'])} on {report['device']}",
            f"{report['threads']} threads",
            *([] if rate is None else [rate_of(rate)]),
            *(f"{count:,} {what}" for what, count in report["counted"].items()),
            f"peak memory {report['peak_memory_bytes'] / 2**20:,.0f} MiB",
        ]
        self.detail(", ".join(parts))

    def reporter(self) -> Reporter:
        """Receiver of the library's progress reports, one per console."""
        if self._reporter is None:
            self._reporter = self._new_reporter()
        return self._reporter

    @contextmanager
    def progress(self, description: str, total: int | None = None) -> Iterator[Reporter]:
        """Show the progress of a piece of work of `total` units inside the block."""
        reporter = self.reporter()
        reporter.start(description, total)
        try:
            yield reporter
        finally:
            reporter.stop()

    def _new_reporter(self) -> Reporter:
        if self.json or self.quiet:
            return SilentReporter()
        if sys.stderr.isatty() and not is_dumb():
            return Bar(screen_of(sys.stderr))
        return LogLines(write_message)

    def _rich_table(self, title: str, columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
        from netspace_cli.terminal.table_layout import Field, table_of

        cells = [[c.shown(value) for c, value in zip(columns, row, strict=True)] for row in rows]
        fields = [
            Field(one_line(column.name), [row[place] for row in cells], numeric=column.show is not text)
            for place, column in enumerate(columns)
        ]
        screen = screen_of(sys.stdout)
        if title:
            screen.print(one_line(title), style="italic", soft_wrap=True)
        screen.print(table_of(fields, screen.width))
