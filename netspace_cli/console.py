"""Everything netspace shows: results on stdout, all else on stderr.

On a terminal results are rich tables and progress is a bar. Piped, results are tab-separated rows and
progress is a log line now and then: no escape codes, nothing cut, whatever COLUMNS says. With --json
stdout carries one document and nothing else.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from netspace_cli.core.progress import Progress, Silent

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

SCHEMA = 1
LOG_LINE_SECONDS = 10.0
LEAST_TIMED_SECONDS = 0.1
ABSENT = "–"

# Control characters would let a file's name move the cursor or end a row; lone surrogates (names that
# are not UTF-8) cannot be written at all.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def one_line(text: str) -> str:
    """`text` with every character that is not for a line of a terminal or a table written as its escape."""
    return _UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


def text(value: object) -> str:
    """A value as it is."""
    return one_line(str(value))


def percent(fraction: float) -> str:
    """A fraction as people read it: 0.9812 is "98.1 %"."""
    return f"{100 * fraction:.1f} %"


def integer(count: int) -> str:
    """A count as people read it: 62006 is "62,006"."""
    return f"{count:,d}"


def decimal(value: float) -> str:
    """A number to four digits, whole ones in full: 0.123456 is "0.1235", 123456.7 is "123457"."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: its heading, on a terminal and in the tab-separated header alike.
        show: how a terminal shows a value; tab-separated rows carry the value itself.
    """

    name: str
    show: Callable[[Any], str] = text

    def shown(self, value: object) -> str:
        """The cell for a person; a dash where there is no value."""
        return ABSENT if value is None else self.show(value)

    def plain(self, value: object) -> str:
        """The cell for a program: numbers to four digits (--json has all of them), empty where there is none."""
        if isinstance(value, float):
            return decimal(value)
        return "" if value is None else one_line(str(value))


def jsonable(value: object) -> Any:
    """`value` made of what JSON has: NaN and infinities become null, paths text, arrays lists.

    Raises:
        TypeError: a kind of value that has no place in a document.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: jsonable(getattr(value, each.name)) for each in fields(value)}
    if hasattr(value, "tolist"):  # numpy's and torch's arrays and scalars, known without importing either
        return jsonable(value.tolist())
    raise TypeError(f"a {type(value).__name__} has no place in a JSON document.")


def render_document(document: Mapping[str, object]) -> str:
    """The one JSON document of a command, its schema first; plain ASCII, so that any stdout takes it."""
    return json.dumps({"schema": SCHEMA, **jsonable(document)}, indent=2, allow_nan=False)


def write(stream: TextIO, line: str) -> None:
    """Write a line and send it off.

    A reader that has left (`| head`) ends the output, not the work: files are still written. Any other
    failure, such as a full disk, is raised.
    """
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:
        _silence(stream)
    except OSError:
        _silence(stream)
        raise


def _silence(stream: TextIO) -> None:
    """Send what is left in the buffer nowhere, or the interpreter complains about it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@dataclass
class Work:
    """How far a piece of work has come, in words."""

    description: str
    total: int | None
    began: float
    done: int = 0
    figures: dict[str, object] = field(default_factory=dict)

    def summary(self, now: float) -> list[str]:
        """The rate and the caller's own figures: ["3.1/s", "loss 0.12"]."""
        seconds = now - self.began
        rate = [_rate(self.done / seconds)] if self.done and seconds >= LEAST_TIMED_SECONDS else []
        return rate + [f"{name} {_figure(value)}" for name, value in self.figures.items()]

    def line(self, now: float) -> str:
        """A log line: "train: 120/600, 8 s, 52 s left, 15/s, loss 0.12"."""
        count = f"{self.done}" if self.total is None else f"{self.done}/{self.total}"
        times = [_duration(now - self.began)]
        if self.total and 0 < self.done < self.total:
            times.append(f"{_duration((now - self.began) * (self.total - self.done) / self.done)} left")
        return f"{self.description}: {', '.join([count, *times, *self.summary(now)])}"


def _rate(each_second: float) -> str:
    return f"{each_second:,.0f}/s" if each_second >= 100 else f"{each_second:.2g}/s"


def _figure(value: object) -> str:
    return decimal(value) if isinstance(value, float) else text(value)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Reporter(Progress, Protocol):
    """Progress that can also change its words. Pieces of work may be nested."""

    def update(self, *, description: str) -> None:
        """Describe the piece of work begun last anew."""


class SilentReporter(Silent):
    """Nothing is shown."""

    def update(self, *, description: str) -> None:
        return None


class LogLines:
    """Progress for a log file: a line every few seconds, and one at the end of each piece of work.

    Args:
        put: takes a line.
        clock: seconds.
    """

    def __init__(self, put: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._put, self._clock = put, clock
        self._works: list[Work] = []
        self._said = clock()

    def start(self, description: str, total: int | None) -> None:
        self._works.append(Work(description, total, self._clock()))
        self._said = self._clock()

    def advance(self, n: int = 1, **fields: object) -> None:
        work = self._works[-1]
        work.done += n
        work.figures.update(fields)
        if self._clock() - self._said >= LOG_LINE_SECONDS and work.done != work.total:
            self._say(work)

    def update(self, *, description: str) -> None:
        self._works[-1].description = description

    def stop(self) -> None:
        self._say(self._works.pop())

    def _say(self, work: Work) -> None:
        self._said = self._clock()
        self._put(work.line(self._said))


class Bar:
    """Progress for a terminal: a bar with count, rate and time left, gone when the work is done."""

    def __init__(self, screen: RichConsole) -> None:
        from rich import progress

        self._bars = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(elapsed_when_finished=True),
            progress.TextColumn("{task.fields[summary]}", markup=False),
            console=screen,
            transient=True,
            redirect_stdout=False,  # the bar is on stderr; redirected, results would go there as well
        )
        self._works: list[tuple[progress.TaskID, Work]] = []

    def start(self, description: str, total: int | None) -> None:
        if not self._works:
            self._bars.start()
        task = self._bars.add_task(one_line(description), total=total, summary="")
        self._works.append((task, Work(description, total, time.monotonic())))

    def advance(self, n: int = 1, **fields: object) -> None:
        task, work = self._works[-1]
        work.done += n
        work.figures.update(fields)
        self._bars.update(task, advance=n, summary="  ".join(work.summary(time.monotonic())))

    def update(self, *, description: str) -> None:
        self._bars.update(self._works[-1][0], description=one_line(description))

    def stop(self) -> None:
        task, _ = self._works.pop()
        self._bars.remove_task(task)
        if not self._works:
            self._bars.stop()

    def say(self, message: str) -> bool:
        """Write lines above the bar, from any thread; returns whether there is a bar."""
        if not self._works:
            return False
        self._bars.console.print("\n".join(map(one_line, message.split("\n"))), soft_wrap=True)
        return True

    def close(self) -> None:
        """End all work, so that an error leaves the terminal as it was."""
        while self._works:
            self.stop()


class Console:
    """Where a command shows its results and says how it is getting on. A context manager.

    Args:
        json: results are one JSON document; tables and progress are left out.
        quiet: no notes, no progress; results and errors still come.
        verbose: details as well.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.json, self.quiet, self.verbose = json, quiet, verbose
        self._documented = False
        self._reporter: Reporter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self._reporter, Bar):
            self._reporter.close()

    def table(self, title: str, columns: Sequence[str | Column], rows: Iterable[Sequence[object]]) -> None:
        """Show rows, one value for each column; the title is for terminals alone.

        Raises:
            ValueError: a row that has not as many values as there are columns.
        """
        if self.json:
            return
        full = [Column(column) if isinstance(column, str) else column for column in columns]
        if sys.stdout.isatty():
            self._rich_table(title, full, rows)
            return
        write(sys.stdout, "\t".join(one_line(column.name) for column in full))
        for row in rows:
            write(sys.stdout, "\t".join(c.plain(value) for c, value in zip(full, row, strict=True)))

    def markdown(self, text: str) -> None:
        """Show a page of Markdown: laid out on a terminal, as it is elsewhere."""
        if self.json:
            return
        if sys.stdout.isatty():
            from rich.markdown import Markdown

            _screen(sys.stdout).print(Markdown(text))
            return
        for line in text.splitlines():
            write(sys.stdout, line)

    def document(self, document: Mapping[str, object]) -> None:
        """Print the command's JSON document, where --json asks for it.

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
        """Tell the person at the terminal something, on stderr."""
        if self.quiet or (isinstance(self._reporter, Bar) and self._reporter.say(message)):
            return
        write_message(message)

    def detail(self, message: str) -> None:
        """Tell something that only --verbose asks for, on stderr."""
        if self.verbose:
            self.note(message)

    def cost(self, report: Mapping[str, Any]) -> None:
        """Tell what the work cost, as the runner reports it; only with --verbose."""
        rate = report["items_per_second"]
        parts = [
            f"{_duration(report['seconds'])} on {report['device']}",
            f"{report['threads']} threads",
            *([] if rate is None else [_rate(rate)]),
            *(f"{count:,} {what}" for what, count in report["counted"].items()),
            f"peak memory {report['peak_memory_bytes'] / 2**20:,.0f} MiB",
        ]
        self.detail(", ".join(parts))

    def reporter(self) -> Reporter:
        """What the library reports its progress to; one for each console."""
        if self._reporter is None:
            self._reporter = self._new_reporter()
        return self._reporter

    @contextmanager
    def progress(self, description: str, total: int | None = None) -> Iterator[Reporter]:
        """Show the progress of a piece of work of `total` units while the block runs."""
        reporter = self.reporter()
        reporter.start(description, total)
        try:
            yield reporter
        finally:
            reporter.stop()

    def _new_reporter(self) -> Reporter:
        if self.json or self.quiet:
            return SilentReporter()
        if sys.stderr.isatty() and not _is_dumb():
            return Bar(_screen(sys.stderr))
        return LogLines(write_message)

    def _rich_table(self, title: str, columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
        from netspace_cli.tables import Field, table_of

        cells = [[c.shown(value) for c, value in zip(columns, row, strict=True)] for row in rows]
        fields = [
            Field(one_line(column.name), [row[place] for row in cells], numeric=column.show is not text)
            for place, column in enumerate(columns)
        ]
        screen = _screen(sys.stdout)
        if title:
            screen.print(one_line(title), style="italic", soft_wrap=True)
        screen.print(table_of(fields, screen.width))


def write_message(message: str) -> None:
    """Write lines for a person to stderr, free of control characters."""
    write(sys.stderr, "\n".join(map(one_line, message.split("\n"))))


def _screen(stream: TextIO) -> RichConsole:
    """A rich console that takes text as it is: a file may be called "[red].pt" or ":smile:"."""
    from rich.console import Console as RichConsole

    styled = not os.environ.get("NO_COLOR") and not _is_dumb()
    return RichConsole(
        file=stream,
        force_terminal=True,
        color_system="auto" if styled else None,
        markup=False,
        emoji=False,
        highlight=False,
    )


def _is_dumb() -> bool:
    return os.environ.get("TERM") in ("dumb", "unknown")
