"""The `netspace` command: imports commands on demand, and turns errors into messages and exit codes.

Exit codes: 0 done, 1 the run failed, 2 usage or configuration, 3 a bad or unsafe input file,
130 interrupted, 143 terminated.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError, NoSuchCommand
from netspace_models.errors import ConfigError, Interrupted, NetspaceError, RunFailed
from netspace_models.wording import worded

from netspace_cli.commands.mistyped import meant
from netspace_cli.options import JSON_VARIABLE
from netspace_cli.terminal.flags import CommandLineWording
from netspace_cli.terminal.interrupts import Halt, Interrupts
from netspace_cli.terminal.json_document import render_document
from netspace_cli.terminal.streams import write, write_message

DEBUG_VARIABLE = "NETSPACE_DEBUG"
ARGUMENTS = "netspace.arguments"  # of the context's meta: those that the program was called with
_YES = frozenset({"1", "true", "t", "yes", "y", "on"})
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True)
class Entry:
    """A command that is not imported yet: its module and its line in the group's help."""

    target: str
    help: str


COMMANDS: Mapping[str, Entry] = {
    "encode": Entry("netspace_cli.commands.encode:encode", "Embed trained networks."),
    "decode": Entry("netspace_cli.commands.decode:decode", "Build networks from embeddings."),
    "interp": Entry("netspace_cli.commands.interp:interp", "Walk from one network to another."),
    "lso": Entry("netspace_cli.commands.lso:lso", "Optimise an embedding for a task."),
    "merge": Entry("netspace_cli.commands.merge:merge", "Make one network of several that were trained apart."),
    "sample": Entry("netspace_cli.commands.sample:sample", "Draw new networks from a space."),
    "ensemble": Entry("netspace_cli.commands.ensemble:ensemble", "Score a zoo's instances as an ensemble."),
    "finetune": Entry("netspace_cli.commands.finetune:finetune", "Train a zoo's instances further."),
    "train": Entry("netspace_cli.commands.train:train", "Train a space from a zoo."),
    "zoo": Entry("netspace_cli.commands.zoo.group:zoo", "Make, adopt and inspect zoos of trained networks."),
    "eval": Entry("netspace_cli.commands.evaluate:evaluate", "Compare target and predicted instances of a zoo."),
    "probe": Entry("netspace_cli.commands.probe:probe", "Predict accuracy and epochs from embeddings."),
    "map": Entry("netspace_cli.commands.map:embedding_map", "Draw embeddings in two dimensions."),
    "experiment": Entry("netspace_cli.commands.experiment.group:experiment", "Measure a space: tables and a figure."),
    "prep": Entry("netspace_cli.commands.prep:prep", "Write a network's PRep as an array or picture."),
    "mesh": Entry("netspace_cli.commands.mesh:mesh", "Extract or draw the surface of a shape."),
    "inspect": Entry("netspace_cli.commands.inspect:inspect", "Show what a file is and what it holds."),
    "spaces": Entry("netspace_cli.commands.spaces:spaces", "List the built-in spaces."),
}


class InternalError(NetspaceError):
    """A bug in netspace itself."""

    kind = "internal"


class Shell(click.Group):
    """A group that imports its commands on demand and ends all of them the same way.

    Args:
        entries: the commands, in the order in which the help lists them.
    """

    def __init__(self, *args: Any, entries: Mapping[str, Entry] | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.entries = dict(entries or {})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.parent is None:
            ctx.meta[ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.entries, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = entry.target.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as unknown:
            name = unknown.command_name
            raise NoSuchCommand(name, possibilities=self.list_commands(ctx), ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, entry.help) for name, entry in self.entries.items()]
        rows += [(name, command.get_short_help_str()) for name, command in self.commands.items()]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line `args` (None: that of the process) and exit.

        A command may return an exit code; any other result exits with 0. Without `standalone_mode`, results are
        returned and errors raised, as in click.
        """
        if not standalone_mode:
            with worded(CommandLineWording()):
                return super().main(args, prog_name, complete_var, False, **extra)
        _accept_any_text(sys.stdout)
        tell = partial(report, as_json=wants_json(sys.argv[1:] if args is None else args))
        code, failure = 0, None
        with Interrupts(tell) as interrupts, worded(CommandLineWording()):
            try:
                outcome = super().main(args, prog_name, complete_var, False, **extra)
                code = outcome if isinstance(outcome, int) else 0
            except (Exception, KeyboardInterrupt, Halt) as error:  # noqa: BLE001 - reported below
                failure = error
        if interrupts.error is not None:
            interrupts.error.hint = failure.hint if isinstance(failure, Halt) else ""
            failure = interrupts.error
        if failure is not None:
            code = tell(failure)
        sys.exit(code)


def wants_json(args: Sequence[str]) -> bool:
    """Whether errors go to stdout as JSON too; decided before the options are parsed, since parsing may fail."""
    options = args[: args.index("--")] if "--" in args else args
    return "--json" in options or _is_on(JSON_VARIABLE)


def report(error: BaseException, *, as_json: bool) -> int:
    """Print an error on stderr, and with `as_json` as a JSON document on stdout.

    Returns:
        the exit code.
    """
    if isinstance(error, NoArgsIsHelpError) and not as_json:
        error.show()
        return error.exit_code
    failure = explain(error)
    with contextlib.suppress(OSError):  # stdout or stderr is gone, so there is nowhere to report it
        if _is_on(DEBUG_VARIABLE):
            traceback.print_exception(error)
        write_message(f"error: {failure.message}")
        if failure.hint:
            write_message(f"hint: {failure.hint}")
        if as_json:
            what = {"kind": failure.kind, "message": failure.message, "hint": failure.hint}
            reached = failure.reached if isinstance(failure, Interrupted) else {}
            write(sys.stdout, render_document({**reached, "error": what}))
    return failure.exit_code


def explain(error: BaseException) -> NetspaceError:
    """Turn any exception into an error that a user can act on."""
    if isinstance(error, click.Abort):  # click's wrapping of Ctrl-C and of an unexpected end of file
        error = error.__cause__ or KeyboardInterrupt()
    if isinstance(error, NetspaceError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted.")
    if isinstance(error, click.ClickException):
        return _explain_click(error)
    if _is_out_of_memory(error):
        return RunFailed(f"out of memory: {_first_line(error)}", "Work on fewer networks at once, or use --device cpu.")
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return _explain_system(error)
    return InternalError(
        f"internal error: {type(error).__name__}: {_first_line(error)}",
        f"Set {DEBUG_VARIABLE}=1 for the traceback.",
    )


def _explain_click(error: click.ClickException) -> NetspaceError:
    if isinstance(error, NoArgsIsHelpError):
        return ConfigError("no command given.", _see_help(error.ctx))
    if isinstance(error, click.NoSuchOption):
        return ConfigError(meant(error), _see_help(error.ctx))
    if isinstance(error, click.UsageError):
        return ConfigError(error.format_message(), _see_help(error.ctx))
    return RunFailed(error.format_message())


def _see_help(ctx: click.Context | None) -> str:
    return f"See {ctx.command_path} --help." if ctx is not None else ""


def _is_out_of_memory(error: BaseException) -> bool:
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    # On the processor torch has no type for it.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _explain_system(error: OSError) -> RunFailed:
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    if error.errno in _NO_SPACE:
        return RunFailed(f"{where}no space left on the device.", "Free some space, or write elsewhere.")
    return RunFailed(f"{where}{error.strerror}.")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no details"])[0]


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in _YES


def _accept_any_text(stream: object) -> None:
    """Escape characters that the terminal's encoding lacks, as stderr does anyway, instead of failing."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


@click.group(
    cls=Shell,
    entries=COMMANDS,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "NETSPACE",
        "show_default": True,
        "max_content_width": 100,
    },
    epilog="Options can also be set by environment variables: NETSPACE_DEVICE=cpu for all commands, "
    "NETSPACE_LSO_STEPS=200 for one.",
)
@click.version_option(package_name="netspace", message="%(prog)s %(version)s")
def cli() -> None:
    """Learn spaces of trained neural networks: checkpoints in, embeddings, checkpoints out."""
