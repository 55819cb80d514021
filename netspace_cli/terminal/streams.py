"""Write lines to stdout and stderr."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from netspace_cli.terminal.formats import one_line

if TYPE_CHECKING:
    from rich.console import Console as RichConsole


def write(stream: TextIO, line: str) -> None:
    """Write a line and flush.

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
    """Discard the rest of the buffer, since the interpreter would complain about it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def write_message(message: str) -> None:
    """Write lines for people to stderr, without control characters."""
    write(sys.stderr, "\n".join(map(one_line, message.split("\n"))))


def screen_of(stream: TextIO) -> RichConsole:
    """A rich console that prints text literally: a file may be called "[red].pt" or ":smile:"."""
    from rich.console import Console as RichConsole

    styled = not os.environ.get("NO_COLOR") and not is_dumb()
    return RichConsole(
        file=stream,
        force_terminal=True,
        color_system="auto" if styled else None,
        markup=False,
        emoji=False,
        highlight=False,
    )


def is_dumb() -> bool:
    """Whether the terminal can only print lines."""
    return os.environ.get("TERM") in ("dumb", "unknown")
