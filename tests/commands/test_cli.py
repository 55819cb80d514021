"""The group: finding commands, and every way a command can end."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner, Result
from netspace_models.errors import CheckpointError, Interrupted, NetspaceError, OutputExists

from netspace_cli import options
from netspace_cli.cli import COMMANDS, Entry, Shell
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.interrupts import CONTINUES
from tests.worlds import Cli, Tiny


def shell_that(end: Callable[[Console], object], **entries: Entry) -> Shell:
    """A group of one command, `work`, which ends as `end` does."""

    @click.command()
    @options.shared
    def work(console: Console) -> object:
        """Does some work."""
        return end(console)

    return Shell(name="netspace", entries=entries, commands=[work])


def run(end: Callable[[Console], object], *arguments: str, **env: str) -> Result:
    return CliRunner().invoke(shell_that(end), ["work", *arguments], prog_name="netspace", env=env)


def raising(error: BaseException | Callable[[], BaseException]) -> Callable[[Console], None]:
    def end(console: Console) -> None:
        raise error() if callable(error) else error

    return end


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_has_help(cli: Cli, name: str) -> None:
    command = Shell(entries=COMMANDS).get_command(click.Context(click.Command("netspace")), name)
    assert command is not None and command.name == name and command.help
    result = cli(name, "--help")
    assert result.exit_code == 0 and result.stdout.startswith(f"Usage: netspace {name} ")
    assert len(COMMANDS[name].help) <= 65, "its line in the group's help fits 80 columns"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_the_commands_in_the_order_of_their_use(cli: Cli, flag: str) -> None:
    result = cli(flag)
    assert result.exit_code == 0
    listed = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("  ")]
    assert [name for name in listed if name in COMMANDS] == list(COMMANDS)


def test_the_version_is_the_package_s(cli: Cli) -> None:
    result = cli("--version")
    assert (result.exit_code, result.stdout) == (0, "netspace 0.1.0\n")


def test_without_a_command_there_is_help(cli: Cli) -> None:
    result = cli()
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("Usage: netspace [OPTIONS] COMMAND")


def test_without_a_command_a_program_is_told_so(cli: Cli) -> None:
    result = cli(env={"NETSPACE_JSON": "1"})
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["message"] == "no command given."


def test_a_misspelt_command_is_answered_with_the_nearest(cli: Cli) -> None:
    result = cli("encdoe", "a.pt")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == ("error: No such command 'encdoe'. Did you mean 'encode'?\nhint: See netspace --help.\n")


def test_a_command_is_imported_when_it_is_asked_for() -> None:
    shell = Shell(name="netspace", entries={"later": Entry("no_such_package:later", "Comes later.")})
    assert "Comes later." in CliRunner().invoke(shell, ["--help"]).stdout
    result = CliRunner().invoke(shell, ["later"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: internal error: ModuleNotFoundError: No module named")


def test_a_command_that_works_ends_with_0_or_its_own_code() -> None:
    assert run(lambda console: None).exit_code == 0
    assert run(lambda console: "done").exit_code == 0
    assert run(lambda console: 3).exit_code == 3


ERRORS = [
    (
        CheckpointError("a.pt", "truncated.", "Download it again."),
        (3, "checkpoint", "a.pt: truncated.", "Download it again."),
    ),
    (
        partial(OutputExists, Path("a.emb")),
        (2, "output_exists", "a.emb exists already.", "Choose another path, or replace it with --force."),
    ),
    (NetspaceError("no."), (1, "failed", "no.", "")),
    (Interrupted("stopped at step 3; it is saved.", exit_code=143), (143, "interrupted", None, "")),
    (KeyboardInterrupt(), (130, "interrupted", "interrupted.", "")),
    (click.Abort(), (130, "interrupted", "interrupted.", "")),
    (click.UsageError("--a and --b exclude each other."), (2, "usage", None, "See netspace work --help.")),
    (click.ClickException("no."), (1, "failed", "no.", "")),
    (
        MemoryError(),
        (
            1,
            "failed",
            "out of memory: no details",
            "Work on fewer networks at once, or use --device cpu.",
        ),
    ),
    (
        torch.OutOfMemoryError("CUDA out of memory.\nmore"),
        (1, "failed", "out of memory: CUDA out of memory.", None),
    ),
    (
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.emb"),
        (1, "failed", "a.emb: no space left on the device.", "Free some space, or write elsewhere."),
    ),
    (PermissionError(errno.EACCES, "Permission denied", "a.emb"), (1, "failed", None, "")),
    (
        ValueError("shapes\ndiffer"),
        (
            1,
            "internal",
            "internal error: ValueError: shapes",
            "Set NETSPACE_DEBUG=1 for the traceback.",
        ),
    ),
    (EOFError(), (1, "internal", "internal error: EOFError: no details", None)),
]


@pytest.mark.parametrize(("error", "expected"), ERRORS, ids=lambda each: type(each).__name__)
def test_every_error_ends_with_its_code_and_says_the_same_to_people_and_programs(
    error: BaseException | Callable[[], BaseException], expected: tuple[int, str, str | None, str | None]
) -> None:
    code, kind, message, hint = expected
    result = run(raising(error))
    assert (result.exit_code, result.stdout) == (code, "")
    spoken = result.stderr.strip().splitlines()
    assert spoken[0].startswith("error: ") and "Traceback" not in result.stderr

    told = run(raising(error), "--json")
    assert told.exit_code == code
    document = json.loads(told.stdout)
    assert list(document) == ["schema", "error"] and document["schema"] == 1
    assert list(document["error"]) == ["kind", "message", "hint"]
    assert document["error"]["kind"] == kind
    assert spoken[0] == f"error: {document['error']['message']}"
    assert spoken[1:] == ([f"hint: {document['error']['hint']}"] if document["error"]["hint"] else [])
    assert message in (None, document["error"]["message"])
    assert hint in (None, document["error"]["hint"])


def test_memory_that_runs_out_on_the_processor_is_told_as_such() -> None:
    result = run(lambda console: torch.empty(10**16))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: out of memory: ")


@pytest.mark.parametrize("arguments", [["--jsn"], ["--json", "--sed", "1"]])
def test_options_that_cannot_be_parsed_are_a_usage_error(arguments: list[str]) -> None:
    result = run(lambda console: None, *arguments)
    assert result.exit_code == 2
    assert "No such option" in result.stderr and "See netspace work --help." in result.stderr
    assert bool(result.stdout) == ("--json" in arguments)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["lso", "--step", "3"], "'--steps'?"),
        (["train", "zoo", "--step", "3"], "the recipe's -s train.steps=…?"),
        (["train", "zoo", "--batch-size=3"], "No such option '--batch-size'."),
        (["train", "zoo", "--instance", "3"], "the recipe's -s train.instances=…?"),
        (["train", "zoo", "--jsn"], "'--json'?"),
        (["merge", "a", "--normalize", "half"], "'--normalise'?"),
    ],
)
def test_a_mistyped_option_is_answered_by_what_was_meant(cli: Cli, words: list[str], meant: str) -> None:
    found = cli(*words)
    assert found.exit_code == 2 and "No such option" in found.stderr and meant in found.stderr


def test_threads_are_held_by_commands_without_a_runner(tiny: Tiny, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    during: list[int] = []
    monkeypatch.setattr(Console, "table", lambda *_: during.append(torch.get_num_threads()))
    for words in (["zoo", "show"], ["zoo", "verify"], ["inspect"]):
        assert cli(*words, tiny.zoo.path, "--threads", before + 1).exit_code == 0
    assert during == [before + 1] * 3 and torch.get_num_threads() == before


def test_json_after_two_dashes_is_a_file() -> None:
    result = run(lambda console: None, "--", "--json")
    assert (result.exit_code, result.stdout) == (2, "")


def test_json_may_come_from_the_environment() -> None:
    result = run(raising(NetspaceError("no.")), NETSPACE_JSON="1")
    assert json.loads(result.stdout)["error"]["message"] == "no."


def test_the_traceback_can_be_had() -> None:
    result = run(raising(ValueError("odd")), NETSPACE_DEBUG="1")
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr and "in end" in result.stderr


def test_errors_can_be_had_as_exceptions() -> None:
    with pytest.raises(NetspaceError, match="no"):
        shell_that(raising(NetspaceError("no."))).main(["work"], standalone_mode=False)


def test_an_order_to_stop_ends_the_work_and_the_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    result = run(lambda console: signal.raise_signal(signal.SIGTERM))
    assert (result.exit_code, result.stderr) == (143, "error: terminated.\n")
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_order_to_stop_is_not_lost_in_code_that_wraps_all_errors() -> None:
    tidied = []

    def load(console: Console) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException as error:
            signal.raise_signal(signal.SIGTERM)
            tidied.append("a second order does not disturb the tidying up")
            raise CheckpointError("a.pt", "unreadable.") from error

    assert run(load).exit_code == 143
    assert tidied


@pytest.mark.parametrize(("order", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_order_to_stop_is_no_failure_of_one_file_among_many(order: signal.Signals, code: int) -> None:
    read = []

    def load_all(console: Console) -> None:
        for name in "ab":
            with contextlib.suppress(Exception):
                read.append(name)
                signal.raise_signal(order)

    # Tests that run in the background may have been told to ignore Ctrl-C, which netspace heeds.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert run(load_all).exit_code == code
    finally:
        signal.signal(signal.SIGINT, before)
    assert read == ["a"]


def test_an_order_amid_an_import_leaves_no_half_written_file(tmp_path: Path) -> None:
    swallowing = "import signal\ntry: signal.raise_signal(signal.SIGINT)\nexcept BaseException: pass"
    (tmp_path / "stops.py").write_text(swallowing)
    lines = (
        "from pathlib import Path; from netspace_cli.core.files.outputs import atomic_write; "
        "atomic_write(Path('a.txt'), lambda path: (path.write_text('half'), __import__('stops')), force=False)"
    )
    with process(lines, cwd=tmp_path) as work:
        work.communicate(timeout=30)
    assert work.returncode == 130
    assert {path.name for path in tmp_path.iterdir()} <= {"stops.py", "__pycache__"}


@pytest.mark.parametrize("arguments", [[], ["--json"]])
@pytest.mark.parametrize(
    ("order", "code", "message"), [("SIGTERM", 143, "terminated."), ("SIGINT", 130, "interrupted.")]
)
def test_an_order_amid_an_import_ends_at_once(
    tmp_path: Path, arguments: list[str], order: str, code: int, message: str
) -> None:
    lines = ["import signal", "try:", f"    signal.raise_signal(signal.{order})", "except BaseException: pass"]
    (tmp_path / "swallows.py").write_text("\n".join(lines))
    with process("import swallows; print('went on')", *arguments, cwd=tmp_path) as work:
        shown, said = work.communicate(timeout=30)
    assert (work.returncode, said) == (code, f"error: {message}\n")
    assert (json.loads(shown)["error"]["message"] if arguments else shown) == (message if arguments else "")


def test_a_command_may_handle_the_order_to_stop_itself() -> None:
    def train(console: Console) -> None:
        heard: list[int] = []
        before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
        signal.raise_signal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)
        assert heard == [signal.SIGTERM]

    assert run(train).exit_code == 0


# Whoever runs the tests in the background of a shell script has told its children to ignore SIGINT.
PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import click
from netspace_cli import options
from netspace_cli.cli import Shell

@click.command()
@options.shared
def work(console):
    {body}

Shell(name="netspace", commands=[work]).main(["work", *sys.argv[1:]], prog_name="netspace")
"""


def process(body: str, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM.format(body=body), *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **(streams | settings))


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [(signal.SIGTERM, 143, "error: terminated."), (signal.SIGINT, 130, "error: interrupted.")],
)
def test_a_real_process_ends_by_signals_with_their_codes(number: int, code: int, message: str) -> None:
    with process("print('ready', flush=True); time.sleep(60)") as work:
        assert work.stdout is not None
        work.stdout.readline()
        work.send_signal(number)
        _, said = work.communicate(timeout=30)
    assert (work.returncode, said.strip()) == (code, message)


@pytest.mark.parametrize(("kept", "more"), [("True", [f"hint: {CONTINUES}"]), ("False", [])])
def test_work_that_continues_says_so_when_it_is_stopped(kept: str, more: list[str]) -> None:
    body = f"""
    from netspace_cli.terminal.interrupts import continues
    with continues(kept={kept}):
        signal.raise_signal(signal.SIGINT)
    """
    with process(body) as work:
        _, said = work.communicate(timeout=30)
    assert (work.returncode, said.splitlines()) == (130, ["error: interrupted.", *more])


def test_a_reader_that_leaves_is_no_error() -> None:
    with process("console.table('', ['n'], ((n,) for n in range(100_000)))") as work:
        assert work.stdout is not None and work.stderr is not None
        work.stdout.readline()
        work.stdout.close()
        assert work.stderr.read() == ""
    assert work.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_results_that_cannot_be_written_are_an_error(arguments: list[str]) -> None:
    body = "console.table('', ['n'], [(1,)]); console.document(dict(n=1))"
    with open("/dev/full", "w") as full, process(body, *arguments, stdout=full) as work:
        _, said = work.communicate(timeout=30)
    assert work.returncode == 1
    assert said == "error: no space left on the device.\nhint: Free some space, or write elsewhere.\n"


def test_names_that_the_encoding_lacks_are_escaped() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    with process("console.table('', ['path'], [('é.pt',)])", env=environment) as work:
        shown, said = work.communicate(timeout=30)
    assert (work.returncode, shown, said) == (0, "path\n\\xe9.pt\n", "")
