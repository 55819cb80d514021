"""Tasks of Ray: each result once, also where a worker is killed; what Ray cannot do is refused."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from netspace_models.errors import ConfigError, RunFailed
from netspace_models.wording import setting

from netspace_cli.core.networks.trust import trust, trusted
from netspace_cli.core.runtime import executors
from netspace_cli.core.runtime.cluster import Cluster
from netspace_cli.core.runtime.executors import results_of
from netspace_cli.core.runtime.ray_executor import RayExecutor
from tests.core.runtime.test_executors import is_running, noted, times


@pytest.fixture(scope="module")
def ray() -> Iterator[RayExecutor]:
    """Ray on this machine, for two tasks at once; it takes seconds to start."""
    pytest.importorskip("ray")
    with RayExecutor("auto", {"num_cpus": "0.5"}, partial(trust, frozenset({"own:nets"}))) as executor:
        yield executor


@pytest.fixture(autouse=True)
def begun(request: pytest.FixtureRequest) -> None:
    if "ray" in request.fixturenames:
        request.getfixturevalue("ray").stopped = False


@pytest.mark.parametrize("how", ["address", "environment"])
def test_an_address_where_nobody_answers_is_refused(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address if how == "environment" else "127.0.0.1:1")
    with pytest.raises(ConfigError, match=rf"no Ray cluster answers at {address} \(.*Connection refused\)\. Correct"):
        RayExecutor("auto", {"address": address} if how == "address" else {}).__enter__()


@pytest.mark.slow
def test_a_killed_workers_task_is_done_again_and_no_other(
    ray: RayExecutor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = list(results_of(ray, partial(noted, folder=tmp_path, fatal=2), range(5)))
    assert sorted(found) == [(task, "auto") for task in range(5)]
    assert times(tmp_path) == {0: 1, 1: 1, 2: 2, 3: 1, 4: 1}
    time.sleep(1)  # Ray's own lines come late
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_what_the_work_raises_comes_out_as_itself(ray: RayExecutor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^task -1$"):
        list(results_of(ray, partial(noted, folder=tmp_path), [-1]))


def doubled(task: np.ndarray, device: str) -> tuple[bool, np.ndarray]:
    return task.flags.writeable, 2 * task


@pytest.mark.slow
def test_large_arrays_may_be_written_to_on_both_sides(ray: RayExecutor) -> None:
    ((writeable, found),) = results_of(ray, doubled, [np.ones(10**6)])
    assert writeable and found.flags.writeable and found.sum() == 2 * 10**6


@pytest.mark.slow
def test_a_task_that_always_kills_its_worker_is_given_up(
    ray: RayExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "TRIES", 1)
    with pytest.raises(RunFailed, match=r"memory \(Ray: The worker died unexpectedly while executing this task\)\. "):
        list(results_of(ray, partial(noted, folder=tmp_path, fatal=1, always=True), [1]))
    assert times(tmp_path) == {1: 1}, "Ray itself does nothing again"


def slow(task: int, device: str, *, folder: Path) -> int:
    """Notes its process, and takes as many seconds."""
    (folder / f"begun-{task}").write_text(str(os.getpid()))
    (folder / f"begun-{task}").rename(folder / str(task))
    time.sleep(task)
    return task


@pytest.mark.slow
def test_what_is_broken_off_is_cancelled(ray: RayExecutor, tmp_path: Path) -> None:
    results = results_of(ray, partial(slow, folder=tmp_path), [0, 300])
    assert next(results) == 0
    deadline = time.monotonic() + 60
    while not (tmp_path / "300").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    results.close()
    while is_running(int((tmp_path / "300").read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def surroundings(task: int, device: str) -> tuple[str, str, bool]:
    return os.getcwd(), setting("data"), "own:nets" in trusted()


@pytest.mark.slow
def test_a_worker_has_the_folder_the_words_and_the_trust_of_who_started_it(
    ray: RayExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(results_of(ray, surroundings, [0])) == [(str(tmp_path), setting("data"), True)]


@pytest.mark.slow
def test_signals_and_log_lines_of_this_process_are_its_own(ray: RayExecutor) -> None:
    assert "ray" not in str(signal.getsignal(signal.SIGTERM))
    assert logging.getLogger("ray").level >= logging.CRITICAL
    ray.stop()
    assert list(ray.each(surroundings, [0, 1])) == []


def test_settings_that_ray_does_not_have_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'num_gpu' of .*\. Use address, num_cpus, num_gpus, memory"):
        Cluster("ray", {"num_gpu": 1})
    with pytest.raises(ConfigError, match=r"invalid num_cpus=-1\. Give a number"):
        Cluster("ray", {"num_cpus": "-1"})


@pytest.mark.slow
def test_what_this_machine_does_not_have_is_refused(ray: RayExecutor) -> None:
    greedy = RayExecutor("auto", {"num_gpus": 1000})
    with pytest.raises(ConfigError, match=r"num_gpus=1000, and Ray finds \d+ on this machine\. Ask for less"):
        greedy._check_amounts()


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"a Ray cluster needs ray\. pip install 'netspace\[ray\]'\."):
        Cluster("ray").executor(tmp_path / "zoo", "auto")
