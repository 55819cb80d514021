"""Independent tasks on a Ray cluster, by Ray's own tasks."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import Any, Self, TypeVar

from netspace_models.errors import ConfigError, RunFailed

from .elsewhere import Surroundings, work_in
from .executors import Lost

T = TypeVar("T")
R = TypeVar("R")

LOOK = 1.0  # seconds of waiting after which a signal is noticed
ANSWER = 10.0  # seconds that a cluster has to answer
HERE = "local"  # Ray's address for a new cluster on this machine
# What a task may use, as options of a task and as resources of a cluster.
AMOUNTS = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
SETTINGS = ("address", *AMOUNTS, "accelerator_type")
_ENDS = ("WorkerCrashedError", "OutOfMemoryError", "NodeDiedError", "ObjectLostError", "LocalRayletDiedError")


def check_ray(parameters: Mapping[str, int | str]) -> None:
    """Refuse settings that tasks of Ray do not have.

    Raises:
        ConfigError: says which.
    """
    for name, value in parameters.items():
        if name not in SETTINGS:
            raise ConfigError(f"unknown setting {name!r} of tasks of Ray.", f"Use {', '.join(SETTINGS)}.")
        if name in AMOUNTS and not _is_amount(value):
            raise ConfigError(f"invalid {name}={value}.", "Give a number that is not below 0.")


def _is_amount(value: int | str) -> bool:
    try:
        return 0 <= float(value) < float("inf")
    except ValueError:
        return False


class RayExecutor:
    """Tasks of Ray, on a cluster that runs or on this machine; to be used as a context.

    Args:
        device: that tasks are to use where they run.
        parameters: "address" of the cluster; without it the one that RAY_ADDRESS names, or else Ray is started on this
            machine and ended with the context. What a task may use, as Ray names it: num_cpus (1), num_gpus, memory
            (bytes), accelerator_type.
        initial: called before each task; picklable.
    Raises:
        ConfigError: ray is not installed, or a parameter is not one of these.
    """

    def __init__(
        self, device: str, parameters: Mapping[str, int | str], initial: Callable[[], None] | None = None
    ) -> None:
        check_ray(parameters)
        self._address = str(parameters.get("address") or os.environ.get("RAY_ADDRESS") or HERE)
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError as failure:
            raise ConfigError("work on a Ray cluster needs ray.", "pip install 'netspace[ray]'.") from failure
        self._lost = tuple(getattr(self._ray.exceptions, name) for name in _ENDS)
        # A task that is lost is done again by netspace, which counts how often.
        self._options: dict[str, Any] = {"max_retries": 0, **_options_of(parameters)}
        self._device, self._initial = device, initial
        self._held = ExitStack()
        self.stopped = False

    def __enter__(self) -> Self:
        """Connect, or start.

        Raises:
            ConfigError: Ray cannot be reached or started, or a new one cannot have what a task needs.
        """
        if self._ray.is_initialized():
            return self
        with _own_handlers():
            try:
                _knock(self._address)
                self._ray.init(self._address, log_to_driver=False, logging_level=logging.CRITICAL)
            except (RuntimeError, ValueError, OSError, self._ray.exceptions.RayError) as failure:
                raise self._not_there(failure) from failure
        # A worker that dies is reported by `Lost`: Ray would also print a line into what the command prints.
        self._held.callback(setattr, self._ray._private.worker, "_worker_logs_enabled", True)
        self._ray._private.worker._worker_logs_enabled = False
        self._held.callback(self._ray.shutdown)
        if self._address == HERE:
            self._check_amounts()
        return self

    def __exit__(self, *error: object) -> None:
        with _own_handlers():
            self._held.close()

    def _not_there(self, failure: Exception) -> ConfigError:
        said = _first_sentence(failure)
        if self._address == HERE:
            return ConfigError(f"Ray cannot be started here ({said}).", "See that `ray.init()` works in Python.")
        return ConfigError(
            f"no Ray cluster answers at {self._address} ({said}).",
            "Correct its address, HOST:PORT as its head printed it. If it asks for a token, set RAY_AUTH_MODE=token.",
        )

    def _check_amounts(self) -> None:
        """Refuse what this machine will never have; to other clusters machines may be added."""
        there = self._ray.cluster_resources()
        for name, resource in AMOUNTS.items():
            asked, most = self._options.get(name, 0), there.get(resource, 0)
            if asked > most:
                self._held.close()
                raise ConfigError(
                    f"a task is to have {name}={asked:g}, and Ray finds {most:g} on this machine.",
                    "Ask for less, or name a cluster that has it: address=HOST:PORT.",
                )

    def stop(self) -> None:
        """Begin no more tasks: those that have not ended are cancelled, since Ray has all of them already."""
        self.stopped = True

    def each(self, work: Callable[[T, str], R], tasks: Sequence[T]) -> Generator[tuple[int, R | Lost]]:
        """Places of tasks with their results: see `Executor`."""
        ray = self._ray
        remote = ray.remote(_work_on_copies).options(**self._options)
        shared = [ray.put(each) for each in (Surroundings.here(self._initial), work)]
        waiting = {remote.remote(*shared, task, self._device): place for place, task in enumerate(tasks)}
        try:
            while waiting and not self.stopped:
                ended, _ = ray.wait(list(waiting), timeout=LOOK)
                for task in ended:
                    yield waiting.pop(task), self._outcome(task)
        finally:
            for task in waiting:
                ray.cancel(task, force=True)

    def _outcome(self, task: Any) -> Any:
        exceptions = self._ray.exceptions
        try:
            return deepcopy(self._ray.get(task))
        except exceptions.RayTaskError as failure:
            # What the work raised; Ray's own error shows where, in a text for terminals.
            raise failure.cause from failure
        except self._lost as failure:
            return Lost(f"Ray: {_first_sentence(failure)}")
        except exceptions.RayError as failure:
            raise RunFailed(f"Ray could not run a part of the work: {_first_sentence(failure)}.") from failure


def _work_on_copies(surroundings: Surroundings, work: Callable[[T, str], R], task: T, device: str) -> R:
    """Do a task. Arrays that come through Ray lie in shared memory and are read-only: torch wants its own."""
    return work_in(surroundings, *deepcopy((work, task)), device)


def _options_of(parameters: Mapping[str, int | str]) -> dict[str, Any]:
    """What a task may use, as Ray takes it."""
    asked = {name: value for name, value in parameters.items() if name != "address"}
    return {name: float(value) if name in AMOUNTS else value for name, value in asked.items()}


def _knock(address: str) -> None:
    """Connect to the port of an address, if it has one: Ray itself tries for many minutes.

    Raises:
        OSError: nobody answers there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=ANSWER).close()


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Keep this process's handlers of signals, which Ray replaces by its own."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for each, handler in before.items():
                signal.signal(each, handler)


def _first_sentence(failure: Exception) -> str:
    line = next(iter(str(failure).splitlines()), "")
    return line.partition(". ")[0].removesuffix(".") or type(failure).__name__
