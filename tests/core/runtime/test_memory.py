"""Freed memory is kept in netspace's own processes, and blocks of any size only where that is asked for."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from pathlib import Path

import pytest

from netspace_cli import cli
from netspace_cli.__main__ import main
from netspace_cli.core.runtime import memory
from netspace_cli.core.runtime.executors import LocalExecutor, results_of
from netspace_cli.core.runtime.memory import MMAP_MAX, MMAP_THRESHOLD, TRIM_THRESHOLD
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.training import loop
from tests.worlds import Tiny

Calls = list[tuple[int, int]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Every setting that glibc would be given."""
    found: Calls = []

    def mallopt(number: int, value: int) -> int:
        found.append((number, value))
        return 1

    monkeypatch.setattr(memory, "_mallopt", lambda: mallopt)
    monkeypatch.setattr(memory, "_kept", False)
    return found


def test_blocks_of_any_size_are_kept_within_and_no_longer(calls: Calls) -> None:
    memory.keep_freed_memory()
    assert calls == [(MMAP_THRESHOLD, 32 * 2**20), (TRIM_THRESHOLD, 2**31 - 1)]
    with pytest.raises(ValueError, match="broken off"), memory.larger_blocks_kept(True):
        assert calls[2:] == [(MMAP_MAX, 0)]
        raise ValueError("broken off")
    assert calls[3:] == [(MMAP_MAX, 65_536)]


def test_a_process_that_is_somebody_else_s_is_left_alone(calls: Calls) -> None:
    with memory.larger_blocks_kept(True):
        assert calls == []
    memory.keep_freed_memory()
    with memory.larger_blocks_kept(False):
        assert len(calls) == 2


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_mallopt", lambda: None)
    monkeypatch.setattr(memory, "_kept", False)
    memory.keep_freed_memory()
    with memory.larger_blocks_kept(True):
        assert not memory._kept


def test_the_command_line_keeps_it(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    # What else the entry point sets for its process is not for this one.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(gc, "set_threshold", lambda *_: None)
    monkeypatch.setattr(atexit, "register", lambda *_: None)
    monkeypatch.setattr(cli.cli, "main", lambda **_: None)
    main()
    assert [number for number, _ in calls] == [MMAP_THRESHOLD, TRIM_THRESHOLD]


def kept_here(task: int, device: str) -> bool:
    return memory._kept


@pytest.mark.skipif(sys.platform != "linux" or memory._mallopt() is None, reason="glibc alone has these settings")
def test_worker_processes_keep_it() -> None:
    with LocalExecutor(["cpu"]) as executor:
        assert list(results_of(executor, kept_here, [0])) == [True]


@pytest.mark.parametrize("kind", ["conv", "tokens"])
def test_the_steps_of_a_space_ask_for_it_where_outputs_are_large(
    kind: str, tiny: Tiny, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_: object) -> None:
        raise ValueError("in a step")

    monkeypatch.setattr(loop, "take_step", step)
    memory.keep_freed_memory()
    table = tiny.recipe.model_dump()
    if kind == "conv":
        table["backbone"] = {"kind": "conv", "embedding_size": 256, "side": 16, "height": 8, "width": 3000}
    with pytest.raises(ValueError, match="in a step"), Runner("cpu") as runner:
        loop.train(tiny.single_zoo, tmp_path / "s.safetensors", recipe_from(table), tiny.data, runner)
    assert calls[2:] == ([(MMAP_MAX, 0), (MMAP_MAX, 65_536)] if kind == "conv" else [])
