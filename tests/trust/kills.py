"""Kill every writing command at any of its file operations or at any time, run it again, and compare.

A killed command's files are old or new, never half. Run again, by the way on that it names, it ends with the bytes of a
command that was never killed, and nothing else is left. The same holds for disks that are full from some write on.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shlex
import shutil
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from tests.golden.scenarios import TINY, make_inputs
from tests.trust.children import Ended, Fault, import_for_children, run

SMALL = (
    "-s backbone.embedding_size=64 -s backbone.latents=4 -s backbone.chunk=64 -s backbone.width=16 -s backbone.heads=2 "
    "-s train.steps=3 -s train.instances=1 -s train.images=8 -s train.validate_every=2 -s train.warmup=1"
)
SEARCHES = "--search-steps 1 --search-images 8 --teacher-images 20"
FIRST, SECOND = (f"one/instances/lenetlike/lenetlike-000{n}.safetensors" for n in (0, 1))
SOLID = "solids/instances/siren-8x1/ellipsoids-1.safetensors"
SPACE = "--space one.safetensors"
_ENDS = ("pt", "pth", "safetensors", "th", "pt")
# What cases read, by name: made once, by commands that are not killed.
_MAKING = {
    "one": ("zoo train one TINY --arch lenetlike --counts 3/1/2 --epochs 0-1 --batch 20",),
    "solids": ("zoo fit ellipsoids.npz -o solids --arch siren-8x1 --counts 2/1/1 --steps 2 --points 16 --threads 1",),
    "one.safetensors": ("train one -o one.safetensors TINY SMALL -s refine.steps=0",),
    "a.emb": (f"encode {FIRST} -o a.emb SPACE TINY",),
    "b.emb": (f"encode {SECOND} -o b.emb SPACE TINY",),
    "both.emb": (f"encode {FIRST} {SECOND} -o both.emb SPACE TINY",),
    "loose": tuple(f"zoo export one lenetlike-000{n} -o loose/{n}.{end}" for n, end in enumerate(_ENDS)),
}
_INPUTS = ("tiny.npz", "pictures", *(name for name in _MAKING if name != "loose"))


@dataclass(frozen=True)
class Case:
    """A command that writes.

    Attributes:
        name: tells it from the others.
        line: the command.
        before: commands in the same folder that are not killed.
        copied: folders of the inputs that the command writes into.
    """

    name: str
    line: str
    before: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()


CASES = (
    Case("zoo train", "zoo train new TINY --arch lenetlike --counts 1/1/0 --epochs 0-1 --batch 30"),
    Case("zoo index", "zoo index loose TINY", copied=("loose",)),
    Case("zoo index again", "zoo index loose TINY --force --seed 1", ("zoo index loose TINY",), ("loose",)),
    Case("zoo fit", "zoo fit pictures -o new --arch siren-8x1 --counts 1/1/1 --steps 2 --points 16 --together 2"),
    Case("zoo align", "zoo align solids -o new --threads 1"),
    Case("zoo export", "zoo export one lenetlike-0001 -o new.safetensors"),
    Case("train", "train one -o new.safetensors TINY SMALL"),
    Case(
        "train again",
        "train one -o n.safetensors TINY SMALL --force --seed 1",
        ("train one -o n.safetensors TINY SMALL",),
    ),
    Case("encode", f"encode {FIRST} -o new.emb SPACE TINY"),
    Case("encode again", f"encode {SECOND} -o n.emb SPACE TINY --force", (f"encode {FIRST} -o n.emb SPACE TINY",)),
    Case("decode", "decode a.emb -o new.pt SPACE TINY"),
    Case("decode many", "decode both.emb -o new SPACE TINY"),
    Case("interp", "interp a.emb b.emb SPACE TINY --steps 2 --csv n.csv --save-dir new --plot n.svg"),
    Case("lso", "lso a.emb SPACE TINY --steps 1 --images 8 -o new.emb --decode new.safetensors"),
    Case("sample", "sample SPACE --zoo one TINY --top all -n 2 -o new"),
    Case("merge", f"merge {FIRST} {SECOND} TINY --method mean -o new.pt"),
    Case("merge groups", "merge one TINY --groups seed --method mean -o new"),
    Case("finetune", "finetune one TINY --epochs 0,1 --batch 30 -o new"),
    Case("eval", "eval one SPACE TINY --plot new.svg --refine 0"),
    Case("map", "map one SPACE -o new.svg"),
    Case("prep", f"prep {FIRST} SPACE -o new.npy"),
    Case("mesh", "mesh SOLID -o new.svg --resolution 8"),
    Case("experiment rate", f"experiment rate one -o new TINY SMALL -s refine.steps=1 --sizes 32 {SEARCHES}"),
    Case("experiment single", f"experiment single one -o new SPACE TINY --path-steps 2 --refine 0 {SEARCHES}"),
)
# Cases that take long, and so have a smaller share of the trials.
_SLOW = ("train", "train again", "map", "experiment rate", "experiment single")


@dataclass(frozen=True)
class Row:
    """What came of all trials of one class of fault.

    Attributes:
        fault: its class.
        tried, survived: how many trials, and how many after which nothing was lost.
        crashed: ended without words; lost: a file was half, or the work did not go on to the same bytes.
        faults: of each that did not survive, the case, the fault and what was seen.
    """

    fault: str
    tried: int
    survived: int
    crashed: int
    lost: int
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of one trial: "survived", "crashed" or "lost", and why; whether the fault had come at all."""

    how: str
    why: str = ""
    befell: bool = True


# Classes of faults: their names in the table.
CLASSES = {
    "kill": "kill -9 at a file operation",
    "half": "kill -9 amid a write",
    "time": "kill -9 at any time",
    "full": "disk full at a write",
    "gone": "working folder removed",
}


def trials(seed: int, number: int, processes: int = 1) -> list[Row]:
    """Kill `number` times in all, and let other faults befall a third as many; a row for each class of fault.

    Args:
        seed: of the choice of cases and faults.
        number: of kills.
        processes: that share the work; none may have started a thread, so call this early.
    """
    kinds = [("kill", "half", "time")[n % 3] for n in range(number)] + ["full", "full", "gone"] * max(1, number // 10)
    with tempfile.TemporaryDirectory(prefix="netspace-kills-") as name:
        folder = Path(name)
        make_world(folder / "world", CASES)
        shares = [kinds[n::processes] for n in range(processes)]
        children = [_share(folder, n, seed, share) for n, share in enumerate(shares)]
        for child in children:
            if os.waitpid(child, 0)[1]:
                raise RuntimeError("a process of the trials ended with an error, see above.")
        told = [line for n in range(processes) for line in (folder / f"told-{n}").read_text().splitlines()]
    return rows_of([json.loads(line) for line in told])


def rows_of(found: Sequence[dict[str, str]]) -> list[Row]:
    """Count outcomes by class of fault."""
    rows = []
    for kind, name in CLASSES.items():
        own = [each for each in found if each["kind"] == kind]
        count = {how: sum(each["how"] == how for each in own) for how in ("survived", "crashed", "lost")}
        faults = tuple(f"{each['case']}, {each['fault']}: {each['why']}" for each in own if each["how"] != "survived")
        if own:
            rows.append(Row(name, len(own), **count, faults=faults))
    return rows


def _share(folder: Path, number: int, seed: int, kinds: Sequence[str]) -> int:
    """Begin a process that does its share of the trials."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work, draw = Trials(folder / "world", folder / str(number)), random.Random(f"{seed}/{number}")
        lines = []
        for kind in kinds:
            case, outcome, fault = work.drawn(kind, draw)
            what = {"kind": kind, "case": case.name, "fault": str(fault), "how": outcome.how, "why": outcome.why}
            lines.append(json.dumps(what) + "\n")
        (folder / f"told-{number}").write_text("".join(lines))
        code = 0
    except BaseException:  # noqa: BLE001 - the process ends here, whatever it was
        import traceback

        traceback.print_exc()
    os._exit(code)


def arguments_of(line: str) -> list[str]:
    """A case's command as arguments."""
    for word, meaning in (("TINY", TINY), ("SMALL", SMALL), ("SOLID", SOLID), ("SPACE", SPACE)):
        line = line.replace(word, meaning)
    return shlex.split(line)


def make_world(folder: Path, cases: Sequence[Case] = CASES) -> None:
    """Write what these cases read."""
    folder.mkdir()
    make_inputs(folder)
    (folder / "loose").mkdir()
    (folder / "pictures").mkdir()
    draw = np.random.default_rng(0)
    for n in range(3):
        pixels = draw.integers(0, 255, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{n}.png")
    words = {word for case in cases for line in (case.line, *case.before) for word in arguments_of(line)}
    needed = {word.partition("/")[0] for word in words}
    if needed & {"a.emb", "b.emb", "both.emb"}:
        needed.add("one.safetensors")
    for name, lines in _MAKING.items():
        for line in lines if name in {*needed, "one"} else ():
            ended = run(arguments_of(line), folder)
            if ended.code:
                raise RuntimeError(f"{line}: {ended.output}")
            import_for_children(ended.modules)


@dataclass(frozen=True)
class Known:
    """What comes of a case unharmed: the files before and after it, and how it ended."""

    before: dict[str, bytes]
    after: dict[str, bytes]
    whole: Ended


class Trials:
    """Cases, each tried in a folder of its own.

    Args:
        world: made by `make_world`.
        folder: for what the trials write; it is made.
    """

    def __init__(self, world: Path, folder: Path) -> None:
        self._world, self._folder, self._known = world, folder, dict[str, Known]()
        folder.mkdir()

    def drawn(self, kind: str, draw: random.Random) -> tuple[Case, Outcome, Fault]:
        """Try a case and a moment that are drawn; drawn again while the command ends before the fault."""
        while True:
            case = draw.choices(CASES, [1 if case.name in _SLOW else 3 for case in CASES])[0]
            whole, where = self.known(case).whole, draw.random()
            at = 1 + int(where * whole.operations)
            fault = Fault("none", after=where * whole.seconds) if kind == "time" else Fault(kind, at)  # type: ignore[arg-type]
            outcome = self.trial(case, fault)
            if outcome.befell or outcome.how != "survived":
                return case, outcome, fault

    def known(self, case: Case) -> Known:
        """The case unharmed, run once."""
        if case.name not in self._known:
            place = self._prepared(case)
            before = files_of(place)
            whole = run(arguments_of(case.line), place)
            if whole.code:
                raise RuntimeError(f"{case.line}: {whole.output}")
            self._known[case.name] = Known(before, files_of(place), replace(whole, modules=()))
            import_for_children(whole.modules)
        return self._known[case.name]

    def trial(self, case: Case, fault: Fault) -> Outcome:
        """Run a case with a fault, and then again."""
        known, place = self.known(case), self._prepared(case)
        first = run(arguments_of(case.line), place, fault)
        befell = first.code != 0
        if fault.kind == "gone":  # nothing is left to compare
            return Outcome("crashed" if first.crashed else "survived", first.output if first.crashed else "", befell)
        broken = _broken(first, fault, place) or _half_written(place, known)
        if broken:
            return replace(broken, befell=befell)
        again = self._run_again(case, known, place)
        if again.crashed:
            return Outcome("crashed", again.output, befell)
        left = files_of(place)
        if left != known.after:
            names = sorted(n for n in {*left, *known.after} if left.get(n) != known.after.get(n))
            return Outcome("lost", f"other bytes in {', '.join(names)}; {again.output}", befell)
        return Outcome("survived", "", befell)

    def _run_again(self, case: Case, known: Known, place: Path) -> Ended:
        """Run the same command, and then the way on that it names, if anything is missing."""
        again = run(arguments_of(case.line), place)
        for option in ("--resume", "--force"):
            if again.code == 2 and option in again.output and files_of(place) != known.after:
                line = case.line.replace("--force", "") if option == "--resume" else case.line
                again = run([*arguments_of(line), option], place)
        return again

    def _prepared(self, case: Case) -> Path:
        place = self._folder / "place"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for name in _INPUTS:
            if (self._world / name).exists():
                (place / name).symlink_to(self._world / name)
        for name in case.copied:
            shutil.copytree(self._world / name, place / name)
        for line in case.before:
            ended = run(arguments_of(line), place)
            if ended.code:
                raise RuntimeError(f"{line}: {ended.output}")
        return place


_FULL = re.compile(r"error: .*(disk full|no space left).*\nhint: .*(space|elsewhere|folder)")
# Extensions of files that are old or new at any time; a run's own files grow.
_WHOLE = (".emb", ".safetensors", ".pt", ".csv", ".svg", ".npy", ".png")
# Keys of times, and of what a run has cost.
_TIMES = frozenset({"seconds", "items_per_second", "peak_memory_bytes", "cost"})


def _broken(first: Ended, fault: Fault, place: Path) -> Outcome | None:
    """What is wrong with how the first, harmed command ended."""
    if first.crashed and first.code != -signal.SIGKILL:
        return Outcome("crashed", first.output)
    if fault.kind != "full" or not first.code:
        return None
    if first.code != 1 or not _FULL.search(first.output):
        return Outcome("crashed", f"a full disk is not named: {first.output}")
    left = [path.name for path in place.rglob(".netspace-*-*-*")]
    return Outcome("lost", f"temporary files are left: {left}") if left else None


def _half_written(place: Path, known: Known) -> Outcome | None:
    half = [
        name
        for name, content in files_of(place).items()
        if Path(name).suffix in _WHOLE
        and not Path(name).name.startswith(".netspace-")
        and ".run/" not in name
        and content not in (known.before.get(name), known.after.get(name))
    ]
    return Outcome("lost", f"half written: {', '.join(half)}") if half else None


def files_of(folder: Path) -> dict[str, bytes]:
    """Content of all files that are no links, by path, without times."""
    paths = [path for path in sorted(folder.rglob("*")) if not path.is_symlink() and path.is_file()]
    return {str(path.relative_to(folder)): _without_times(path) for path in paths}


def _without_times(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name in ("checkpoint.pt", "README.md"):  # a run's progress, and a report; both have times in them
        return b""
    try:
        if path.suffix in (".json", ".jsonl"):
            lines = content.decode().splitlines() if path.suffix == ".jsonl" else [content.decode()]
            return "\n".join(json.dumps(_timeless(json.loads(line))) for line in lines).encode()
        if path.suffix == ".csv":
            header, *rows = list(csv.reader(content.decode().splitlines()))
            kept = [n for n, name in enumerate(header) if "seconds" not in name]
            return "\n".join(",".join(row[n] for n in kept) for row in [header, *rows]).encode()
    except (ValueError, IndexError):
        pass
    return content


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in _TIMES}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def main() -> None:
    """Print the rows of 500 kills by two processes: `python -m tests.trust.kills [SEED [NUMBER [PROCESSES]]]`."""
    import sys

    import torch

    torch.set_num_threads(1)
    seed, number, processes = [int(word) for word in (*sys.argv[1:], *("0", "500", "2")[len(sys.argv) - 1 :])]
    for row in trials(seed, number, processes):
        print(json.dumps(asdict(row)), flush=True)


if __name__ == "__main__":
    main()
