"""Stopping between two steps, and only there."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time

import pytest

from netspace_cli.core.runtime.stop import StopRequest


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_noted_and_nothing_is_broken_off(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        error = stop.interrupted("stopped.", "go on.")
    assert (error.exit_code, error.message, error.hint) == (code, "stopped.", "go on.")
    assert signal.getsignal(number) is before


def test_a_second_signal_is_not_waited_for() -> None:
    before, heard = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), StopRequest(lambda: heard.append("")):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(heard) == 1


def test_outside_the_main_thread_nothing_is_touched() -> None:
    found = []

    def work() -> None:
        with StopRequest() as stop:
            found.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_a_signal_is_announced_once_and_while_the_work_is_deep_in_a_long_call() -> None:
    """As in a step of minutes, where Python's own handlers have to wait."""
    heard: list[float] = []
    with StopRequest(lambda: heard.append(time.monotonic())) as stop:
        sender = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGTERM))
        sender.start()
        rounds = 200_000
        while not stop.requested:  # until one call is long enough for the signal to come within it
            rounds *= 4
            began = time.monotonic()
            hashlib.pbkdf2_hmac("sha256", b"", b"", rounds)
            ended = time.monotonic()
        sender.join()
    assert len(heard) == 1
    assert began < heard[0] < ended


def test_what_listened_for_signals_before_listens_again() -> None:
    out, into = os.pipe()
    os.set_blocking(into, False)
    before = signal.set_wakeup_fd(into)
    with StopRequest(lambda: None):
        pass
    assert signal.set_wakeup_fd(before) == into
    os.close(out)
    os.close(into)


def test_without_a_signal_nothing_is_announced() -> None:
    heard: list[str] = []
    threads = threading.active_count()
    with StopRequest(lambda: heard.append("")):
        pass
    assert heard == [] and threading.active_count() == threads


def test_an_announcement_that_fails_does_not_disturb_the_work() -> None:
    def gone() -> None:
        raise BrokenPipeError

    with StopRequest(gone) as stop:
        os.kill(os.getpid(), signal.SIGINT)
    assert stop.requested
