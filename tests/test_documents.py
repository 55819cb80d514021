"""What the documents name exists: commands, options, targets of make, files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from netspace_cli.cli import COMMANDS, cli

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "RESULTS.md", "SECURITY.md")),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "examples").rglob("README.md"),
        *(ROOT / "examples" / "recipes").glob("*.toml"),
    ]
)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
FOLDERS = ("docs", "examples", "models", "netspace_cli", "tests", "tools", ".github")
# Modules are also named from the package, as imports between them are.
BASES: tuple[Path, ...] = (ROOT, ROOT / "netspace_cli")
FILE = re.compile(rf"(?<![\w/.-])(?:{'|'.join(map(re.escape, (*FOLDERS, 'core', 'commands')))})/[\w./*-]*")


def code_lines(text: str) -> Iterator[str]:
    """The lines of a document that are to be typed: fenced, or indented by four or more, or a recipe's comment."""
    fenced = "\n".join(FENCED.findall(text)).splitlines()
    indented = [line for line in FENCED.sub("", text).splitlines() if line.startswith(("    ", "#   "))]
    for line in (*fenced, *indented):
        yield line.removeprefix("#").strip().removeprefix("$ ")


def code_spans(text: str) -> list[str]:
    """What stands between backticks, each on one line."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCED.sub("", text))]


def commands(text: str) -> Iterator[str]:
    """Every command that a document names, without `netspace`: whole lines, and spans such as `lso --repair`."""
    for line in code_lines(text):
        if line.startswith("netspace "):
            yield line.removeprefix("netspace ")
    for span in code_spans(text):
        first = span.split(" ")[0]
        if first == "netspace" and " " in span:
            yield span.removeprefix("netspace ")
        elif first in COMMANDS:
            yield span


def options_of(command: click.Command) -> set[str]:
    """Every name of every option."""
    return {"--help"} | {name for each in command.params for name in (*each.opts, *each.secondary_opts)}


def fault_of(line: str) -> str | None:
    """What a command line has that netspace has not; None where all of it exists."""
    command: click.Command = cli
    words = line.split()
    while words and isinstance(command, click.Group) and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        inner = command.get_command(click.Context(command, **command.context_settings), words[0])
        if inner is None:
            return f"no command {words[0]}: netspace {line}"
        command, words = inner, words[1:]
    unknown = [name for name in OPTION.findall(" ".join(words)) if name not in options_of(command)]
    return f"no option {', '.join(unknown)}: netspace {line}" if unknown else None


def options_below(command: click.Command) -> set[str]:
    """The options of a command and of all commands in it."""
    if not isinstance(command, click.Group):
        return options_of(command)
    context = click.Context(command, **command.context_settings)
    inner = [command.get_command(context, name) for name in command.list_commands(context)]
    return options_of(command).union(*(options_below(each) for each in inner if each is not None))


def unknown_commands(text: str) -> list[str]:
    """Faults of every command that is named."""
    return [fault for fault in map(fault_of, commands(text)) if fault is not None]


def unknown_options(text: str, known: set[str]) -> list[str]:
    """Options on their own that no command has: `--json`, `-s train.steps=3000`, those in a recipe's comments."""
    spans = [span for span in code_spans(text) if span.startswith("--") or re.match(r"-[a-z] ", span)]
    remarks = [
        line for line in text.splitlines() if "netspace" not in line and re.search(r"#.*(?<![\w-])--[a-z]", line)
    ]
    named = [name for words in (*spans, *remarks) for name in OPTION.findall(words)]
    return [name for name in named if name not in known]


def unknown_targets(text: str) -> list[str]:
    """Targets of make that are named and that there are not."""
    made = [words.split() for words in (*code_lines(text), *code_spans(text)) if words.startswith("make ")]
    return [word for _, *words in made for word in words[:1] if re.fullmatch("[a-z]+", word) and word not in TARGETS]


def missing_files(text: str, folder: Path) -> list[str]:
    """What a document in this folder links to or names by its path and is not there; a pattern has to fit something."""
    named = [(BASES, path.rstrip("./")) for path in FILE.findall(text)]
    named += [((folder,), path) for path in re.findall(r"\]\(([^)#:]+)\)", text)]
    return [path for bases, path in named if not any([*base.glob(path)] for base in bases)]


by_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


@by_document
def test_every_command_and_option_exists(path: Path) -> None:
    text = path.read_text()
    assert unknown_commands(text) == []
    assert unknown_options(text, options_below(cli)) == []


@by_document
def test_every_target_of_make_exists(path: Path) -> None:
    assert unknown_targets(path.read_text()) == []


@by_document
def test_every_file_exists(path: Path) -> None:
    assert missing_files(path.read_text(), path.parent) == []


def test_the_commands_of_the_documents_are_found() -> None:
    found = {path.name: list(commands(path.read_text())) for path in DOCUMENTS if path.parent == ROOT}
    assert len(found["README.md"]) > 20
    assert sum(len([*commands(path.read_text())]) for path in DOCUMENTS if path.parent == ROOT / "docs") > 50
    assert len(found["RESULTS.md"]) > 20
    assert all(list(commands(path.read_text())) for path in DOCUMENTS if path.suffix == ".toml")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```console\n$ netspace encod a.pt\n```", "no command encod"),
        ("    netspace zoo fitt shapes/ -o zoo", "no command fitt"),
        ("text\n\n       netspace train zoo --recipes a.toml", "no option --recipes"),
        ("as `netspace lso a.pt\n--techer b.pt` does", "no option --techer"),
        ("or `zoo train --epoch 3`", "no option --epoch"),
        ("#   netspace eval zoo --spaces x", "no option --spaces"),
        ("`netspace --verzion`", "no option --verzion"),
        ("    netspace spaces -z", "no option -z"),
    ],
)
def test_a_command_that_does_not_exist_is_found(text: str, fault: str) -> None:
    (found,) = unknown_commands(text)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    "text",
    [
        "netspace learns a space --of networks",
        "```console\n$ netspace encode a.pt -o a.emb   # --refine 5 for more\n```",
        "`netspace --version`, `netspace zoo --help`, `netspace_models`, `netspace`",
        "    netspace eval even --space sketch.safetensors --refine 300      (and --refine 0, and the other space)",
        "    pip install -q netspace",
        "`encode`, `zoo verify`, `interp --plot`",
    ],
)
def test_what_exists_is_left_alone(text: str) -> None:
    assert unknown_commands(text) == []


def test_options_targets_and_files_that_do_not_exist_are_found() -> None:
    known = {"--json", "-s"}
    assert unknown_options("`--json`, `-s a=1`, `--jason`, `-a`, `-t a`", known) == ["--jason", "-t"]
    assert unknown_options("steps = 0  # see --refin 3", known) == ["--refin"]
    assert unknown_targets("    make demo\n    make tests   # all\nor `make quikc`") == ["tests", "quikc"]
    assert (
        missing_files("`examples/demo.py`, examples/recipes/*.toml, `core/runtime/runner.py`, [a](LICENSE)", ROOT) == []
    )
    assert missing_files("`examples/demos.py`; examples/*.tom, ![b](docs/none.png)", ROOT) == (
        ["examples/demos.py", "examples/*.tom", "docs/none.png", "docs/none.png"]
    )
