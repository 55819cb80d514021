"""What is installed: the extras, the exact versions of the development environment, and the lowest that are allowed."""

from __future__ import annotations

import re
import runpy
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
Extras = Mapping[str, Sequence[str]]


def needed_by(extra: str, extras: Extras) -> set[str]:
    """The packages of an extra, through the extras that it names itself."""
    found: set[str] = set()
    for requirement in map(Requirement, extras[extra]):
        if requirement.name == PROJECT["name"]:
            found = found.union(*(needed_by(each, extras) for each in requirement.extras))
        else:
            found.add(requirement.name)
    return found


def missing_from_all(extras: Extras) -> set[str]:
    """What an extra for users needs and `all` does not install."""
    used = [needed_by(extra, extras) for extra in extras if extra not in ("dev", "docs")]
    return set().union(*used) - needed_by("all", extras)


def test_all_installs_every_extra_but_the_developers() -> None:
    assert missing_from_all(EXTRAS) == set()
    # UMAP compiles its code when it is first used, longer than all other tests of samplers take: its test runs where
    # somebody has installed it. Ray is large, and its tests start it: they run where somebody has it, too.
    left_out = needed_by("umap", EXTRAS) | needed_by("ray", EXTRAS)
    assert needed_by("all", EXTRAS) - left_out < needed_by("dev", EXTRAS)
    assert not left_out & needed_by("dev", EXTRAS)
    assert not {"pytest", "mypy"} & needed_by("all", EXTRAS)


def test_an_extra_that_all_leaves_out_is_found() -> None:
    assert missing_from_all({**EXTRAS, "sound": ["soundfile>=1"]}) == {"soundfile"}
    others = {"ray", "rtree", "scikit-image", "submitit", "trimesh", "umap-learn"}
    assert missing_from_all({**EXTRAS, "all": ["netspace[plot]"]}) == others


def pinned() -> dict[str, Version]:
    """constraints.txt: nothing but comments and `name==version`, so no address and no path."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==\d[\w.]*", line)] == []
    return {name.lower().replace("_", "-"): Version(version) for name, _, version in (x.partition("==") for x in lines)}


@pytest.mark.parametrize("line", [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)])
def test_the_pinned_version_is_one_that_is_allowed(line: str) -> None:
    requirement = Requirement(line)
    if requirement.name != PROJECT["name"]:
        assert pinned()[requirement.name] in requirement.specifier


def test_the_lowest_version_of_every_package_is_asked_for() -> None:
    lowest_of = runpy.run_path(str(ROOT / "tools" / "lowest.py"))["lowest_of"]
    asked = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    lowest = [Requirement(line) for line in lowest_of(PROJECT)]
    assert {each.name for each in lowest} == {Requirement(line).name for line in asked} - {PROJECT["name"]}
    assert lowest_of({"dependencies": ["b>=1.2,<9", "a[x]>=0.5"], "optional-dependencies": {"c": ["d==0.17.*"]}}) == [
        "a==0.5",
        "b==1.2",
        "d==0.17.*",
    ]
