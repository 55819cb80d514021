"""Errors survive the way from a worker process, and say what they said."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from netspace_models.errors import (
    CheckpointError,
    DoesNotFit,
    Interrupted,
    NamesDiffer,
    NetspaceError,
    OutputExists,
)

ERRORS = [
    NetspaceError("message", "hint"),
    CheckpointError(Path("a.pt"), "truncated.", "Copy it again."),
    OutputExists(Path("out")),
    Interrupted("stopped", exit_code=143),
    NamesDiffer("resnet8", ["a"], ["b"], ["c: (1,), expected (2,)"]),
    DoesNotFit("too large", "take more rows"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_errors_cross_between_processes_whole(error: NetspaceError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert type(again) is type(error)
    assert (str(again), again.exit_code, again.kind) == (str(error), error.exit_code, error.kind)
    assert again.__dict__ == error.__dict__


def test_names_differ_lists_the_first_of_each_and_counts_the_rest() -> None:
    error = NamesDiffer("lenetlike", [f"m{i}" for i in range(8)], ["x"], [])
    assert "8 missing: m0, m1, m2, m3, m4, m5 and 2 more." in str(error)
    assert "1 unexpected: x." in str(error)
