"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

import pytest
import torch
from click.testing import CliRunner, Result

from netspace_cli.cli import cli as netspace

Cli = Callable[..., Result]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Tiny networks are slower on several threads, and the same bits come out only on as many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the variables by which whoever runs the tests sets options of netspace."""
    for name in [name for name in os.environ if name.startswith("NETSPACE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def cli() -> Cli:
    """Run `netspace` with these arguments: `cli("encode", path, "--json")`; stdout and stderr apart."""

    def run(*arguments: object, env: Mapping[str, str] | None = None) -> Result:
        return CliRunner().invoke(netspace, [str(each) for each in arguments], env=env, prog_name="netspace")

    return run
