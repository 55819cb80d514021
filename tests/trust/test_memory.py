"""Reading and writing a network takes a few times its bytes, as SECURITY.md promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden.scenarios import ROOT

READING, WRITING = 6, 4
"""How many times a network's bytes, as SECURITY.md has it."""

PROGRAM = """
import json, os, resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from netspace_models.architectures import FieldIO, build
from netspace_cli.core.networks.network import Network, read_network, write_network

architecture = build("siren-1500x4", FieldIO(3, 1))
size, path = 4 * architecture.parameter_count, Path(sys.argv[1])
network = Network(architecture, torch.randn(architecture.parameter_count) / 100, "full")

def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def taken(work):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        before = peak()
        work()
        os.write(write, str((peak() - before) / size).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return float(os.read(read, 99))

written = taken(lambda: write_network(path, network, metadata={}))
print(json.dumps([size, written, taken(lambda: read_network(path))]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
def test_memory_is_a_few_times_a_network_s_bytes(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / name],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    size, written, read = json.loads(done.stdout)
    assert size > 20_000_000
    assert 0.5 < written < WRITING and 1 < read < READING
    security = (ROOT / "SECURITY.md").read_text()
    assert f"{READING} times" in security and f"{WRITING} times" in security
