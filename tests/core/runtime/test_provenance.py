"""What the records of files say of how they were made."""

from __future__ import annotations

import json
import platform

import numpy as np
import torch

from netspace_cli.core.runtime.provenance import provenance
from netspace_cli.core.runtime.runner import Runner


def test_versions_are_those_of_what_runs() -> None:
    found = provenance()
    assert found["torch_version"] == torch.__version__
    assert found["numpy_version"] == np.__version__
    assert found["python_version"] == platform.python_version()
    assert found["netspace_version"]
    assert set(found) == {"netspace_version", "torch_version", "numpy_version", "python_version"}


def test_a_runner_says_where_the_work_ran() -> None:
    with Runner("cpu", precision="bf16", threads=2) as runner:
        found = provenance(runner)
    assert {"device": "cpu", "threads": 2, "precision": "bf16"}.items() <= found.items()
    assert provenance().items() <= found.items()


def test_the_same_run_says_the_same_and_says_it_in_json() -> None:
    with Runner("cpu") as runner:
        first, second = (json.dumps(provenance(runner)) for _ in range(2))
    assert first == second
    assert json.loads(first)["device"] == "cpu"
