"""One of several processes: its device and threads, and what becomes of it without the others."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from netspace_models.errors import ConfigError, ProcessLost
from torch import Tensor

from netspace_cli.core.runtime.places import Place
from netspace_cli.core.runtime.processes import Processes
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.stop import StopRequest


def test_one_process_has_everything_already() -> None:
    alone, values = Processes(), torch.ones(3)
    with alone.joined(torch.device("cpu")):
        assert alone.add_up(values) is values and values.sum() == 3
        assert (alone.largest(4), alone.agree_on(4)) == (4, True)
        alone.copy_from_first([values])
    assert (alone.number, alone.count) == (0, 1)


def test_others_that_do_not_come_are_lost(tmp_path: Path) -> None:
    two = Processes(Place(0, 2, 0, 2, f"file://{tmp_path / 'meeting'}"), patience=1)
    said = r"process 0 of 2 .* lost another process: it did not answer within 1 s"
    with pytest.raises(ProcessLost, match=said), two.joined(torch.device("cpu")):
        two.add_up(torch.ones(1))


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    processes = Processes(Place(1, 8, 1, 4))
    assert Runner("cpu", processes=processes).threads == 2
    assert Runner("cpu", processes=processes, threads=3).threads == 3
    assert Runner("cpu", processes=Processes(Place(0, 99, 0, 99))).threads == 1
    assert Runner("cpu").threads is None


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """A machine with two CUDA devices; the list gets what becomes current."""
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    return current


@pytest.mark.parametrize("request_", ["cuda", "auto"])
def test_each_process_takes_a_device_of_its_own(two_devices: list[torch.device], request_: str) -> None:
    assert Runner(request_, processes=Processes(Place(3, 4, 1, 2))).device == torch.device("cuda", 1)
    assert two_devices == [torch.device("cuda", 1)]
    assert Runner("cpu", processes=Processes(Place(3, 4, 1, 2))).device == torch.device("cpu")


@pytest.mark.usefixtures("two_devices")
def test_workers_take_all_devices_by_turns_unless_one_is_named() -> None:
    assert Runner("auto").devices(3) == ["cuda:0", "cuda:1", "cuda:0"] == Runner("cuda").devices(3)
    assert Runner("cuda:1").devices(2) == ["cuda:1", "cuda:1"]
    assert Runner("cpu").devices(2) == ["cpu", "cpu"]


@pytest.mark.usefixtures("two_devices")
def test_more_processes_than_devices_and_one_device_for_all_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"3 processes .* take a device each; it has 2 of cuda\. Use `devices=2`"):
        Runner("cuda", processes=Processes(Place(0, 3, 0, 3)))
    with pytest.raises(ConfigError, match=r"cuda:1 was asked for; 2 processes .* take a device each"):
        Runner("cuda:1", processes=Processes(Place(0, 2, 0, 2)))


class Later(Processes):
    """Processes of which this one hears of a signal while it learns that nobody has heard of any."""

    def largest(self, number: int) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return number


class Elsewhere(Processes):
    """Processes of which another one has heard of Ctrl-C."""

    def largest(self, number: int) -> int:
        return max(number, signal.SIGINT)


def test_all_processes_stop_at_the_same_step() -> None:
    with StopRequest() as stop:
        assert not stop.requested_by_any(Later())
        assert stop.requested_by_any(Processes())  # at the next step
    with StopRequest() as stop:
        assert stop.requested_by_any(Elsewhere())
        assert stop.interrupted("stopped.", "").exit_code == 130


def test_a_lack_of_memory_is_no_lost_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(values: Tensor, *more: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(torch.distributed, "all_reduce", fails)
    with pytest.raises(torch.OutOfMemoryError):
        Processes(Place(0, 2, meeting="env://")).add_up(torch.ones(1))
