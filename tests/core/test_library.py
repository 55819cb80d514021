"""The front door: every name leads somewhere, and nothing heavy comes in before it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import netspace_cli


@pytest.mark.parametrize("name", netspace_cli.__all__)
def test_every_name_resolves_to_what_it_is_called(name: str) -> None:
    found = getattr(netspace_cli, name)
    assert found.__name__ == name
    assert found.__doc__
    assert found.__module__.startswith("netspace_cli.core.")


def test_dir_lists_the_names() -> None:
    assert dir(netspace_cli) == sorted(netspace_cli.__all__)


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(AttributeError, match="has no 'encod'; it has .*encode"):
        _ = netspace_cli.encod


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, netspace_cli; print({'torch', 'numpy', 'click'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
