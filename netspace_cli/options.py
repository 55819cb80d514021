"""The options that several commands share: names, types, checks, environment variables.

A decorator passes the parameter named in its docstring. Each option of `_shared_option` can be set for
all commands by NETSPACE_<OPTION> and for one by NETSPACE_<COMMAND>_<OPTION>; the flag wins over both.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netspace_cli.core.files.leftovers import collecting_removed, describe_removed
from netspace_cli.core.networks.assumptions import collecting, strictly
from netspace_cli.core.networks.trust import trusting
from netspace_cli.terminal.console import Console

if TYPE_CHECKING:
    from netspace_cli.core.runtime.places import Place
    from netspace_cli.core.runtime.runner import Runner

F = TypeVar("F", bound=Callable[..., Any])

JSON_VARIABLE = "NETSPACE_JSON"
PRECISIONS = ("float32", "bf16", "fp16")


class ExistingPath(click.Path):
    """A path that is there; a mistyped one is answered with the nearest name in its folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as failure:
            near = _near(Path(os.fsdecode(value)))
            if near is not None:
                self.fail(f"{failure.message} Did you mean {click.format_filename(near)!r}?", param, ctx)
            raise


def _near(path: Path) -> Path | None:
    """The path whose last part is nearest to that of one that is not there."""
    if os.path.lexists(path) or not path.parent.is_dir():
        return None
    found = difflib.get_close_matches(path.name, os.listdir(path.parent), n=1)
    return path.with_name(found[0]) if found else None


INPUT_FILE = ExistingPath(exists=True, dir_okay=False, path_type=Path)
INPUT_DIRECTORY = ExistingPath(exists=True, file_okay=False, path_type=Path)
INPUT = ExistingPath(exists=True, path_type=Path)
PATH_OR_NAME = click.Path(path_type=Path)
OUTPUT_PATH = click.Path(path_type=Path)


class Device(click.ParamType):
    """The name of a device; the runner checks that the machine has it."""

    name = "device"
    _known = re.compile(r"auto|cpu|mps|cuda(:\d+)?")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not self._known.fullmatch(str(value)):
            self.fail(f"unknown device {value!r}. Use auto, cpu, cuda, cuda:N or mps.", param, ctx)
        return str(value)


class Setting(click.ParamType):
    """KEY=VALUE, where the key may have dots; the recipe interprets the value."""

    name = "key=value"
    _key = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        key, equals, setting = str(value).partition("=")
        if not equals or not self._key.fullmatch(key.strip()):
            self.fail(f"{value!r} is not KEY=VALUE, as in train.steps=600.", param, ctx)
        return key.strip(), setting.strip()


class SharedOption(click.Option):
    """An option whose variable for one command overrides its variable for all commands."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        own = f"{ctx.auto_envvar_prefix}_{str(self.name).upper()}" if ctx.auto_envvar_prefix else ""
        return os.environ.get(own) or super().resolve_envvar_value(ctx)


class RenamedOption(click.Option):
    """An option that still accepts its older flags, which help and messages leave out.

    Args:
        older: these flags.
    """

    def __init__(self, *args: Any, older: Sequence[str], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.older = list(older)

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        parser.add_option(obj=self, opts=self.older, dest=self.name, nargs=self.nargs)


@dataclass(frozen=True)
class RunnerOptions:
    """Where and how the work runs, as given on the command line.

    Args:
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: one of PRECISIONS.
        seed: root of every random stream.
        threads: processor threads, None for torch's own choice.
        place: of this process among several; None for one alone. patience: seconds that it waits for the others.
    """

    device: str = "auto"
    precision: str = "float32"
    seed: int = 0
    threads: int | None = None
    place: Place | None = None
    patience: float = 0

    def shared_by(self, workers: int, cluster: object | None) -> RunnerOptions:
        """The same where the work is divided among processes, each of which has one thread unless a number is given."""
        divided = workers > 1 or cluster is not None
        return replace(self, threads=1) if divided and self.threads is None else self

    def runner(self, console: Console) -> Runner:
        """Make a runner that shows progress on the console; this imports torch.

        Its number of threads holds until the command ends, since opening a space takes work too.

        Raises:
            ConfigError: a device or precision that this machine does not have.
        """
        from netspace_cli.core.runtime.runner import Runner, held_threads

        processes = None
        if self.place is not None:
            from netspace_cli.core.runtime.processes import Processes

            processes = Processes(self.place, patience=self.patience)
        runner = Runner(
            self.device,
            precision=self.precision,
            threads=self.threads,
            seed=self.seed,
            progress=console.reporter(),
            processes=processes,
        )
        if runner.warning is not None:
            console.note(f"warning: {runner.warning}")
        context = click.get_current_context(silent=True)
        if context is not None:
            context.with_resource(held_threads(runner.threads))
        return runner


def _shared_option(*names: str, **settings: Any) -> Callable[[F], F]:
    """An option with a variable for all commands, named after its long flag."""
    flag = next(name for name in names if name.startswith("--"))
    variable = "NETSPACE_" + flag.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, cls=SharedOption, envvar=variable, **settings)


space = _shared_option(
    "--space", metavar="NAME|PATH", help="Space to use. [default: the built-in one that has the architecture]"
)
"""Passes `space: str | None`."""

space_or_auto = _shared_option(
    "--space",
    metavar="NAME|PATH|auto",
    help="Space to go through; auto: one made on the networks. [default: the built-in one that has the architecture; "
    "none with --groups]",
)
"""Passes `space: str | None`."""

space_to_measure = _shared_option(
    "--space", metavar="NAME|PATH", help="Trained space to measure. [default: one is trained first]"
)
"""Passes `space: str | None`."""

space_or_none = _shared_option(
    "--space", metavar="NAME|PATH", help="Space to go through. [default: none, so ways through a space are left out]"
)
"""Passes `space: str | None`."""

space_to_draw_from = _shared_option(
    "--space",
    metavar="NAME|PATH",
    help="Space to draw from. [default: the built-in one that has the zoo's architectures; without --zoo, the one with "
    "the most starting points]",
)
"""Passes `space: str | None`."""

data = _shared_option(
    "--data",
    metavar="SPEC",
    help="Images: digits, cifar10[:DIR|:FILE.npz], tiny-imagenet:DIR, folder:DIR or FILE.npz (images or a table). "
    "[default: those that the "
    "space or zoo was made with]",
)
"""Passes `data: str | None`."""

# How networks are trained; without a variable for all commands, as each command has its own defaults beside these.
weight_decay = click.option(
    "--weight-decay", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Weight decay."
)
"""Passes `weight_decay: float`."""

batch = click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Images per step.")
"""Passes `batch: int`."""

epoch_images = click.option(
    "--epoch-images",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    show_default="0 for all",
    help="Images per epoch, newly drawn for each epoch.",
)
"""Passes `epoch_images: int`."""

force = _shared_option("--force", is_flag=True, help="Replace existing outputs.")
"""Passes `force: bool`."""

dry_run = _shared_option("--dry-run", is_flag=True, help="Check the inputs and show the plan; write nothing.")
"""Passes `dry_run: bool`."""


def _while_running(ctx: click.Context, block: AbstractContextManager[None]) -> None:
    """Enter a block that ends with the command, also where its command line is refused.

    click closes the context of a command only once all of its options are read; that of the program it always closes.
    """
    ctx.find_root().with_resource(block)


def trust_named(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Callback: trust factories that the user names, also where files name them, while the command runs."""
    names = [value] if isinstance(value, str) else value or ()
    _while_running(ctx, trusting(*(name for name in names if ":" in name)))
    return value


def _assume_nothing(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    """Callback: refuse what would be assumed of architectures, while the command runs."""
    if value:
        _while_running(ctx, strictly())
    return value


arch = click.option(
    "--arch",
    callback=trust_named,
    metavar="NAME|PKG.MODULE:FACTORY",
    help="Architecture of the network. [default: recognised from the names and shapes of its tensors]",
)
"""Passes `arch: str | None`."""

key = click.option("--key", metavar="NAME", help="Key of the parameters in a nested checkpoint, e.g. state_dict.")
"""Passes `key: str | None`."""


def teacher(*, help: str, several: bool = False) -> Callable[[F], F]:
    """--teacher, --teacher-arch, --teacher-key: passes `teacher: Teacher`.

    Args:
        several: whether --teacher may be given many times; --teacher-arch is then of those that it fits.
    Raises:
        click.UsageError: one of the latter two without the first.
    """

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def with_teacher(
            *args: Any,
            teacher: Path | tuple[Path, ...] | None,
            teacher_arch: str | None,
            teacher_key: str | None,
            **rest: Any,
        ) -> Any:
            paths = teacher if isinstance(teacher, tuple) else () if teacher is None else (teacher,)
            given = {"--teacher-arch": teacher_arch, "--teacher-key": teacher_key}
            alone = next((flag for flag, value in given.items() if value is not None), None)
            if not paths and alone is not None:
                raise click.UsageError(f"{alone} needs --teacher.")
            from netspace_cli.core.requests.inputs import Teacher

            asked = Teacher(paths[0] if paths else None, teacher_arch, teacher_key, paths[1:])
            return command(*args, teacher=asked, **rest)

        return _apply(
            with_teacher,
            click.option("--teacher", type=INPUT_FILE, multiple=several, help=help),
            click.option(
                "--teacher-arch",
                callback=trust_named,
                metavar="NAME|PKG.MODULE:FACTORY",
                help="Architecture of the teacher"
                + (
                    "; of several, of those that it fits. [default: recognised]"
                    if several
                    else ". [default: recognised]"
                ),
            ),
            click.option(
                "--teacher-key", metavar="NAME", help="Key of the teacher's parameters in a nested checkpoint."
            ),
        )

    return decorate


refine = click.option(
    "--refine",
    type=click.IntRange(min=0),
    metavar="N",
    help="Steps that refine each embedding after encoding. [default: as the space records]",
)
"""Passes `refine: int | None`."""

recipe = click.option("--recipe", type=INPUT_FILE, metavar="F.toml", help="Training settings (TOML).")
"""Passes `recipe: Path | None`."""


def output(*, required: bool = True, metavar: str = "FILE", help: str = "Output file.") -> Callable[[F], F]:
    """-o/--output: passes `output: Path` (`Path | None` where not required)."""
    return click.option("-o", "--output", type=OUTPUT_PATH, required=required, metavar=metavar, help=help)


def _refuse_repeats(ctx: click.Context, param: click.Parameter, pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    settings = dict(pairs)
    if len(settings) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise click.BadParameter(f"{repeated} is set {names.count(repeated)} times. Set it once.", ctx, param)
    return settings


settings = click.option(
    "-s",
    "--set",
    "settings",
    type=Setting(),
    multiple=True,
    callback=_refuse_repeats,
    help="Set one value of the recipe, e.g. train.steps=600; overrides --recipe. Repeatable.",
)
"""Passes `settings: dict[str, str]`, the values as they were typed."""


def running(command: F) -> F:
    """--device, --precision, --seed, --threads: passes `running: RunnerOptions`."""

    @functools.wraps(command)
    def with_runner(*args: Any, device: str, precision: str, seed: int, threads: int | None, **rest: Any) -> Any:
        return command(*args, running=RunnerOptions(device, precision, seed, threads), **rest)

    return _apply(
        with_runner,
        _shared_option(
            "--device", type=Device(), default="auto", help="Where to compute: auto, cpu, cuda, cuda:N or mps."
        ),
        _shared_option(
            "--precision",
            type=click.Choice(PRECISIONS),
            default="float32",
            help="Number format for training and scoring.",
        ),
        _shared_option("--seed", type=click.IntRange(min=0), default=0, help="Seed of all random choices."),
        _shared_option("--threads", type=click.IntRange(min=1), help="CPU threads. [default: chosen by torch]"),
    )


def _hold_threads(ctx: click.Context, param: click.Parameter, value: int | None) -> None:
    """Callback: use this many threads until the command ends."""
    if value is not None:
        from netspace_cli.core.runtime.runner import held_threads

        _while_running(ctx, held_threads(value))


threads = _shared_option(
    "--threads",
    type=click.IntRange(min=1),
    callback=_hold_threads,
    expose_value=False,
    help="CPU threads. [default: chosen by torch]",
)
"""--threads alone, for commands without a runner; passes nothing."""


def shared(command: F) -> F:
    """--json, --trust, --strict-arch, -q/--quiet, -v/--verbose: passes `console: Console`, closed at the end.

    Raises:
        click.UsageError: both --quiet and --verbose.
    """

    @functools.wraps(command)
    def with_console(*args: Any, as_json: bool, quiet: bool, verbose: bool, **rest: Any) -> Any:
        if quiet and verbose:
            raise click.UsageError("--quiet and --verbose are opposites. Use one of them.")
        with (
            Console(json=as_json, quiet=quiet, verbose=verbose) as console,
            collecting() as remarks,
            collecting_removed() as removed,
        ):
            try:
                return command(*args, console=console, **rest)
            finally:
                if removed:
                    console.note(describe_removed(removed))
                for line in [*remarks.lines(assumed=True), *remarks.compared]:
                    console.note(line)
                for line in remarks.lines(assumed=False):
                    console.detail(line)

    return _apply(
        with_console,
        click.option(
            "--json",
            "as_json",
            is_flag=True,
            envvar=JSON_VARIABLE,
            allow_from_autoenv=False,  # a failure to parse the options asks for this one variable
            help="Print the result as one JSON document.",
        ),
        _shared_option(
            "--trust",
            multiple=True,
            metavar="PKG.MODULE:FACTORY",
            callback=trust_named,
            expose_value=False,
            help="Allow spaces and zoos to build their architecture with this function.",
        ),
        _shared_option(
            "--strict-arch",
            is_flag=True,
            callback=_assume_nothing,
            expose_value=False,
            help="Refuse a network where several architectures have its parameters and neither its file nor images "
            "tell which it is. [default: the likeliest is assumed, with a note]",
        ),
        _shared_option("-q", "--quiet", is_flag=True, help="Print only results and errors."),
        _shared_option("-v", "--verbose", is_flag=True, help="Print details too."),
    )


def _apply(command: Any, *options: Callable[[Any], Any]) -> Any:
    for option in reversed(options):  # as a stack of decorators, so that --help lists them in this order
        command = option(command)
    return command
