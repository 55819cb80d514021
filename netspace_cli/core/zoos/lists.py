"""Lists of networks in the published code's format: one per line, `class_name;parameter;…;path`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from netspace_models.architectures import FAMILIES
from netspace_models.architectures.registry import factory
from netspace_models.errors import InputFileError, UnknownArchitecture

from netspace_cli.core.files.inputs import open_input

_LONGEST = 300  # characters of what is wrong with a line
EXAMPLE = "resnet_fusedbn;d2;d8;scifar10;resnet8/43.pt"
# Class names of the published code that are not netspace's own; its ResNets tell their depth apart.
PUBLISHED = {"vanilla_cnn": "vanillacnn"}
PUBLISHED_RESNET = "resnet_fusedbn"
SPLIT_WORDS = {
    "train": {"train", "training"},
    "val": {"val", "valid", "validation"},
    "test": {"test", "testing"},
}


@dataclass(frozen=True)
class Entry:
    """A file to adopt, and what is known about it.

    Attributes:
        path: of the file; as the list has it where it was not found.
        arch: its architecture as a list has it.
        split: as the list's name has it.
        line: "test.txt, line 3"; empty where no list names the file.
        problem: why it cannot be adopted.
    """

    path: Path
    arch: str | None = None
    split: str | None = None
    line: str = ""
    problem: str = ""


@dataclass(frozen=True)
class _Place:
    """Path that a list leads to; `guessed` if only its last parts were found below the folder."""

    path: Path
    problem: str = ""
    guessed: bool = False


def split_named(path: Path) -> str | None:
    """The split that a list's name contains, e.g. "cifar10-train.txt"; None if it contains none or several."""
    words = set(re.split(r"[^a-z]+", path.stem.lower()))
    found = [split for split, names in SPLIT_WORDS.items() if words & names]
    return found[0] if len(found) == 1 else None


def read_lists(lists: Sequence[Path], folder: Path) -> list[Entry]:
    """Read the networks that lists name, in order.

    A path is looked for where it leads, from the list's folder and from `folder`; failing that, by its last
    parts below `folder`, as many as possible.

    Args:
        lists: text files; one named train, val or test gives its networks that split.
        folder: where the files must lie.
    Raises:
        InputFileError: a list that cannot be read, is empty, or has an invalid line: names it and what it should be;
            or two lines whose paths differ and that lead to one file.
    """
    entries: list[Entry] = []
    taken: dict[Path, tuple[str, str, bool]] = {}
    for file in lists:
        for number, line in enumerate(_lines(file), start=1):
            if not line.strip():
                continue
            arch, given = _fields(file, number, line.strip())
            where, place = f"{file.name}, line {number}", _located(given, file.parent, folder)
            problem = place.problem
            if not problem and place.path in taken:
                problem = _taken(file, number, given, place, taken[place.path])
            elif not problem:
                taken[place.path] = given, where, place.guessed
            entries.append(Entry(place.path, arch, split_named(file), where, problem))
    return entries


def _lines(file: Path) -> list[str]:
    with open_input(file) as opened:
        content = opened.read()
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as failure:
        raise InputFileError(
            file, f"a list of networks must be text, and this is not ({failure.reason}).", f"A line is like {EXAMPLE}."
        ) from failure
    if not any(line.strip() for line in lines):
        raise InputFileError(file, "the list is empty.", f"Write one network per line, as in {EXAMPLE}.")
    return lines


def _fields(file: Path, number: int, line: str) -> tuple[str, str]:
    """Parse a line into architecture and path."""
    name, *params, path = (field.strip() for field in line.split(";")) if ";" in line else (line, "")
    if not name or not path:
        found = line if len(line) <= 60 else f"{line[:57]}..."
        raise InputFileError(
            file,
            f"line {number}: {found!r} is not a network; a line has class_name;parameter;…;path.",
            f"Write it like {EXAMPLE}.",
        )
    try:
        return _architecture(name, params), path
    except UnknownArchitecture as failure:
        raise InputFileError(
            file,
            f"line {number}: {failure.message[:_LONGEST]}",
            f"Known: lenetlike, vanilla_cnn, {PUBLISHED_RESNET} (its ClassId and depth follow, as in {EXAMPLE}) "
            f"and netspace's own names: {', '.join(FAMILIES)} and other depths 6n + 2.",
        ) from failure


def _architecture(name: str, params: Sequence[str]) -> str:
    """Present name of a list's class. Raises UnknownArchitecture."""
    if name == PUBLISHED_RESNET:
        numbers = [match[1] for p in params if (match := re.fullmatch(r"d?(\d{1,6})", p))]
        if len(numbers) < 2:
            raise UnknownArchitecture(f"{name} comes without its depth: ClassId and depth must follow it.")
        name = f"resnet{int(numbers[1])}"
    name = PUBLISHED.get(name, name)
    factory(name)
    return name


def _located(given: str, beside: Path, folder: Path) -> _Place:
    base, path = Path(os.path.abspath(folder)), Path(given)
    found = [Path(os.path.abspath(p)) for p in (beside / path, folder / path) if os.path.isfile(p)]
    inside = next((p for p in found if p.is_relative_to(base)), None)
    if inside is not None:
        return _Place(folder / inside.relative_to(base))
    parts = [p for p in PurePosixPath(os.path.normpath(given)).parts if p not in ("/", "..")]
    for i in range(len(parts)):
        if os.path.isfile(folder.joinpath(*parts[i:])):
            return _Place(folder.joinpath(*parts[i:]), guessed=True)
    if found:
        return _Place(path, f"it is outside {folder}; a zoo's files must be in its folder.")
    return _Place(path, f"no such file, and no file below {folder} matches the last parts of this path.")


def _taken(file: Path, number: int, given: str, place: _Place, first: tuple[str, str, bool]) -> str:
    """The reason to leave out a file that was named before. Raises InputFileError if it may be another file."""
    other, where, guessed = first
    if other != given and (place.guessed or guessed):
        raise InputFileError(
            file,
            f"line {number}: {given} and {other} ({where}) are different files, but both lead to {place.path}.",
            "Index a parent folder, so that the list's folders tell them apart.",
        )
    return f"named before ({where})."
