"""Run scenarios and record what netspace answers: exit codes, JSON documents, and what the files hold.

python tests/golden/recording.py tests/golden/answers    # records the golden files of the suite anew
python tests/golden/recording.py FOLDER --all            # all scenarios, and what is printed in a pipe as well
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from click.testing import CliRunner
from safetensors import safe_open

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1]))

from tests.golden.scenarios import SCENARIOS, Scenario, make_inputs  # noqa: E402

# What depends on the clock, on this machine, on versions or on wording, and not on what netspace computes. Recipes are
# left out as their spelling may change, and so are hashes of files that record them; what they train is compared.
PASSING = frozenset(
    {
        "seconds",
        "seconds a network",
        "items_per_second",
        "peak_memory_bytes",
        "estimated_memory_bytes",
        "report",
        "cost",
        "netspace_version",
        "torch_version",
    }
    | {
        "numpy_version",
        "python_version",
        "device",
        "threads",
        "bytes",
        "card",
        "message",
        "hint",
        "recipe",
        "space_sha256",
    }
)
DIGITS = 6


def record(scenario: Scenario, *, text: bool = False) -> list[dict[str, Any]]:
    """Run a scenario's commands in a folder of their own, on one thread.

    Args:
        text: as in a pipe, and what was written on stdout and stderr; else with --json, and its document.
    Returns:
        For each command {line, exit_code, document or text, files}: `files` are those it made or changed.
    """
    from netspace_cli.cli import cli

    answers = []
    with _alone() as folder:
        before = _stamps(folder)
        for line, command in zip(scenario.lines, scenario.commands(), strict=True):
            result = CliRunner().invoke(cli, command if text else [*command, "--json"], prog_name="netspace")
            answer: dict[str, Any] = {"line": line, "exit_code": result.exit_code}
            if text:
                answer |= {"stdout": _timeless(result.stdout), "stderr": _timeless(result.stderr)}
            else:
                answer["document"] = _lasting(json.loads(result.stdout))
            after = _stamps(folder)
            changed = sorted(path for path, stamp in after.items() if before.get(path) != stamp)
            answer["files"] = {path: contents(folder / path) for path in changed}
            before = after
            answers.append(answer)
    return answers


@contextlib.contextmanager
def _alone() -> Iterator[Path]:
    """A folder with the inputs, as the current one; one thread; nobody's settings."""
    where, threads = Path.cwd(), torch.get_num_threads()
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("NETSPACE_")}
    with TemporaryDirectory() as made:
        folder = Path(made).resolve()
        make_inputs(folder)
        os.chdir(folder)
        torch.set_num_threads(1)
        try:
            yield folder
        finally:
            torch.set_num_threads(threads)
            os.chdir(where)
            os.environ.update(kept)


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file that a command may have written."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "samples" not in p.parts):
        status = path.stat()
        found[str(path.relative_to(folder))] = (status.st_ino, status.st_mtime_ns)
    return found


def contents(path: Path) -> dict[str, Any]:
    """What a file holds: its SHA-256; of tensors their number, their values, the mean size of these, and their bits."""
    found: dict[str, Any] = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    tensors = _tensors(path)
    if tensors:
        values = torch.cat([t.detach().double().flatten() for t in tensors.values()])
        found |= {"tensors": len(tensors), "values": len(values), "mean_size": rounded(values.abs().mean().item())}
        # Sorted by what they hold: a tensor may be called otherwise on another commit.
        each = sorted(hashlib.sha256(t.detach().contiguous().numpy().tobytes()).digest() for t in tensors.values())
        found["bits"] = hashlib.sha256(b"".join(each)).hexdigest()
    return found


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix in (".safetensors", ".emb"):
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    if path.suffix == ".pt" and path.parent.suffix != ".run":
        state = torch.load(path, weights_only=True)
        return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return {}


def _lasting(value: object) -> object:
    """A document without what changes from run to run, its numbers to so many digits."""
    if isinstance(value, Mapping):
        return {key: _lasting(item) for key, item in value.items() if key not in PASSING}
    if isinstance(value, list):
        return [_lasting(item) for item in value]
    if isinstance(value, str):
        return _anywhere(value)
    return rounded(value) if isinstance(value, float) else value


def _anywhere(text: str) -> str:
    """Text without the folder that this checkout lies in."""
    import netspace_cli

    return text.replace(f"{Path(netspace_cli.__file__).resolve().parents[1]}{os.sep}", "")


def rounded(value: float) -> float:
    """To DIGITS digits; what is not finite as it is."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else value


def _timeless(text: str) -> str:
    """Text without durations, rates, amounts of memory, and where this checkout lies."""
    text = re.sub(r"\b\d+ min \d+ s\b|\b[\d.,]+ (s|MiB|GiB)\b|\b[\d.,]+/s", "…", _anywhere(text))
    return re.sub(r"\t\d+(\.\d+)?$", "\t…", text, flags=re.MULTILINE) if "val loss" in text else text


def machine() -> dict[str, str]:
    """What the same bits depend on."""
    names = ("model name", "cpu family", "model", "stepping", "cache size")
    lines = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    found: dict[str, str] = {}
    for name, _, value in lines:
        found.setdefault(name.strip(), value.strip())
    return {
        "cpu": ", ".join(found.get(name, "") for name in names),  # the name alone is often the maker's
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def main() -> None:
    """Write the answers of every scenario into the folder named, as one file each."""
    folder, everything = Path(sys.argv[1]).resolve(), "--all" in sys.argv
    folder.mkdir(parents=True, exist_ok=True)
    for scenario in SCENARIOS:
        if scenario.slow and not everything:
            continue
        found: dict[str, Any] = {"machine": machine(), "answers": record(scenario)}
        if everything:
            found["text"] = record(scenario, text=True)
        (folder / f"{scenario.name}.json").write_text(json.dumps(found, indent=1) + "\n")
        print(scenario.name, len(found["answers"]), "commands", flush=True)


if __name__ == "__main__":
    main()
