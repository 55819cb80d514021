"""What one network more costs each command: python -m tests.benchmarks.costs [lenetlike] [resnet50]

Commands run on zoos of untrained networks and noise in CIFAR-10's shape, with few networks and with many, one thread
each; what is printed is the difference for one network: processor seconds, bytes of memory at the peak, bytes of files.
Of a ResNet50, also the seconds for an image of 224 pixels. `docs/scale.md` multiplies these.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from torchvision.models import resnet50 as torchvision_resnet50

from netspace_cli.core.zoos.zoo import open_zoo

from .made_zoos import RESNET50, made_data, made_zoo

# Networks in the smaller and in the larger zoo, and settings of the space.
CASES = {
    "lenetlike": ("lenetlike", (20, 120), ("backbone.chunk=512",)),
    "resnet50": (RESNET50, (2, 4), ("backbone.chunk=8192", "backbone.embedding_size=1024", "backbone.latents=16")),
}
STEPS = 3
IMAGE, AT_ONCE = 224, 8


@dataclass(frozen=True)
class Cost:
    """What a command took: processor seconds, and bytes of memory at the peak."""

    seconds: float
    memory: int


def cost(folder: Path, *words: object) -> Cost:
    """Run netspace in a process of its own."""
    command = [sys.executable, "-m", "netspace_cli", *map(str, words), "--device", "cpu", "--threads", "1", "-q"]
    child = os.posix_spawn(
        sys.executable,
        command,
        {**os.environ, "OMP_NUM_THREADS": "1", "NETSPACE_TRUST": RESNET50},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, folder / "out.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)],
    )
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed; what it says is above")
    return Cost(usage.ru_utime + usage.ru_stime, 1024 * usage.ru_maxrss)


def in_use(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def show(what: str, counts: tuple[int, int], costs: list[Cost], files: list[int] | None = None) -> None:
    """Print what one network more costs."""
    more = counts[1] - counts[0]
    seconds, memory = (getattr(costs[1], n) - getattr(costs[0], n) for n in ("seconds", "memory"))
    said = f"{what}: {costs[1].seconds:.1f} s and {costs[1].memory / 1e6:,.0f} MB for {counts[1]}; each more "
    said += f"{seconds / more:.4f} s, {memory / more / 1e6:.2f} MB of memory"
    if files is not None:
        said += f", {(files[1] - files[0]) / more:,.0f} bytes of files"
    print(said, flush=True)


def measure(name: str) -> None:
    """Print all costs of an architecture's networks."""
    arch, counts, settings = CASES[name]
    steps = [
        word
        for value in (f"train.steps={STEPS}", "train.images=16", "train.instances=2", *settings)
        for word in ("-s", value)
    ]
    with TemporaryDirectory(dir="/var/tmp") as temporary:
        places = []
        for count in counts:
            place = Path(temporary) / str(count)
            place.mkdir()
            made_zoo(place, made_data(place), (arch,), (count - 1, 1, 0))
            places.append(place)

        def each(work: Callable[[Path], Cost], file: Callable[[Path], Path], what: str) -> None:
            costs = [work(place) for place in places]
            show(what, counts, costs, [in_use(file(place)) for place in places])

        show("the zoo's files", counts, [Cost(0, 0)] * 2, [in_use(place / "zoo") for place in places])
        show("its manifest", counts, [Cost(0, 0)] * 2, [in_use(place / "zoo" / "instances.jsonl") for place in places])
        each(
            lambda p: cost(p, "train", p / "zoo", "--data", p / "images.npz", "-o", p / "a.safetensors", *steps),
            lambda p: p / "a.safetensors",
            f"train a space, {STEPS} steps",
        )
        space = places[0] / "a.safetensors"
        each(
            lambda p: cost(p, "encode", *files_of(p), "--space", space, "--refine", 0, "-o", p / "a.emb"),
            lambda p: p / "a.emb",
            "encode",
        )
        for place in places:
            for file in ("zoo.json", "instances.jsonl"):
                (place / "zoo" / file).unlink()
        images = ("--data", places[0] / "images.npz")
        costs = [
            cost(p, "zoo", "index", p / "zoo", *images, *(("--arch", arch) if ":" in arch else ())) for p in places
        ]
        show("index, scored on 2,000 images", counts, costs)
    if name == "lenetlike":
        manifest()


def files_of(place: Path) -> list[Path]:
    """The checkpoints of a zoo."""
    return sorted((place / "zoo" / "instances").rglob("*.safetensors"))


def manifest(count: int = 100_000) -> None:
    """Print what reading a long manifest takes."""
    with TemporaryDirectory(dir="/var/tmp") as temporary:
        folder = Path(temporary)
        path = made_zoo(folder, made_data(folder), ("lenetlike",), (1, 1, 0))
        line = json.loads((path / "instances.jsonl").read_text().splitlines()[0])
        lines = (json.dumps({**line, "id": f"{line['id']}-{i}"}) + "\n" for i in range(count))
        (path / "instances.jsonl").write_text("".join(lines))
        began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        zoo = open_zoo(path)
        memory = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        seconds = time.process_time() - began
        print(f"a manifest of {len(zoo.instances):,} instances: {seconds:.1f} s to open, {memory / 1e6:,.0f} MB")


def images_of_224() -> None:
    """Print what an image takes a ResNet50: to learn from, and to score."""
    torch.set_num_threads(1)
    module, images = torchvision_resnet50(), torch.rand(AT_ONCE, 3, IMAGE, IMAGE)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(AT_ONCE, dtype=torch.int64)
    for what in ("to learn from", "to score"):
        times = []
        for _ in range(3):
            began = time.process_time()
            if what == "to score":
                with torch.no_grad():
                    module.eval()(images)
            else:
                F.cross_entropy(module.train()(images), labels).backward()
            times.append((time.process_time() - began) / AT_ONCE)
        print(f"an image of {IMAGE} pixels, {what}: {min(times):.3f} s", flush=True)


def main() -> None:
    """Measure the architectures that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architectures", nargs="*", metavar="|".join(CASES))
    given = parser.parse_args().architectures
    if unknown := set(given) - set(CASES):
        parser.error(f"it knows {', '.join(CASES)}, not {', '.join(sorted(unknown))}")
    for name in given or CASES:
        print(name)
        measure(name)
        if name == "resnet50":
            images_of_224()


if __name__ == "__main__":
    main()
