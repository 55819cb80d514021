"""Progress as a bar on a terminal, or as lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from netspace_cli.core.runtime.progress import Progress, Silent
from netspace_cli.terminal.formats import decimal, one_line, text

if TYPE_CHECKING:
    from rich.console import Console as RichConsole


LOG_LINE_SECONDS = 10.0

LEAST_TIMED_SECONDS = 0.1


@dataclass
class Work:
    """Progress of a piece of work, as text.

    Attributes:
        began: when, in seconds; before: units that were done by then; done: with these.
    """

    description: str
    total: int | None
    began: float
    done: int = 0
    before: int = 0
    figures: dict[str, object] = field(default_factory=dict)

    def summary(self, now: float) -> list[str]:
        """The rate and the caller's own figures: ["3.1/s", "loss 0.12"]."""
        seconds, timed = now - self.began, self.done - self.before
        rate = [rate_of(timed / seconds)] if timed and seconds >= LEAST_TIMED_SECONDS else []
        return rate + [f"{name} {_figure(value)}" for name, value in self.figures.items()]

    def line(self, now: float) -> str:
        """A log line: "train: 120/600, 8 s, 52 s left, 15/s, loss 0.12"."""
        count = f"{self.done}" if self.total is None else f"{self.done}/{self.total}"
        times = [duration(now - self.began)]
        if self.total and self.before < self.done < self.total:
            times.append(f"{duration((now - self.began) * (self.total - self.done) / (self.done - self.before))} left")
        return f"{self.description}: {', '.join([count, *times, *self.summary(now)])}"


def rate_of(each_second: float) -> str:
    """A rate for people: `1,200/s`, `0.25/s`."""
    return f"{each_second:,.0f}/s" if each_second >= 100 else f"{each_second:.2g}/s"


def _figure(value: object) -> str:
    return decimal(value) if isinstance(value, float) else text(value)


def duration(seconds: float) -> str:
    """A time for people: `12 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Reporter(Progress, Protocol):
    """Progress whose description can change. Pieces of work may be nested."""

    def update(self, *, description: str) -> None:
        """Change the description of the latest piece of work."""


class SilentReporter(Silent):
    """Progress that is not shown."""

    def update(self, *, description: str) -> None:
        return None


class LogLines:
    """Progress for a log file: a line every few seconds, and one at the end of the work and of each long part of it.

    Args:
        put: takes a line.
        clock: seconds.
    """

    def __init__(self, put: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._put, self._clock = put, clock
        self._works: list[Work] = []
        self._said = clock()

    def start(self, description: str, total: int | None, done: int = 0) -> None:
        now = self._clock()
        if not self._works:
            self._said = now
        self._works.append(Work(description, total, now, done, done))

    def advance(self, n: int = 1, **fields: object) -> None:
        work = self._works[-1]
        work.done += n
        work.figures.update(fields)
        if self._clock() - self._said >= LOG_LINE_SECONDS and work.done != work.total:
            self._say(work)

    def update(self, *, description: str) -> None:
        self._works[-1].description = description

    def stop(self) -> None:
        work = self._works.pop()
        # Parts may be many: a network of a thousand that a zoo trains is not worth a line.
        if not self._works or self._clock() - work.began >= LOG_LINE_SECONDS:
            self._say(work)

    def _say(self, work: Work) -> None:
        self._said = self._clock()
        self._put(work.line(self._said))


class Bar:
    """Progress for a terminal: a bar with count, rate and time left, removed when the work is done."""

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

    def start(self, description: str, total: int | None, done: int = 0) -> None:
        if not self._works:
            self._bars.start()
        task = self._bars.add_task(one_line(description), total=total, completed=done, summary="")
        self._works.append((task, Work(description, total, time.monotonic(), done, done)))

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
        """End all work, so that an error leaves the terminal clean."""
        while self._works:
            self.stop()
