"""What the golden files hold: commands as a user could type them, each scenario in a folder of its own.

A line is a command without `netspace`. Files named `samples/…` are the sample networks of `examples/`; other inputs are
written by `make_inputs`. Nothing here depends on how netspace is built inside, so that the same lines run on any commit.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SIZES = (
    "-s backbone.embedding_size=64 -s backbone.latents=4 -s backbone.chunk=64 -s backbone.width=16 "
    "-s backbone.heads=2 -s train.steps=6 -s train.instances=2 -s train.images=16 -s train.validate_every=3 "
    "-s train.warmup=1 -s refine.steps=2 -s refine.images=16"
)
TINY = "--data tiny.npz --threads 1 --device cpu"
SEARCHES = "--path-steps 3 --search-steps 2 --search-images 8 --teacher-images 20 --refine 2"


@dataclass(frozen=True)
class Scenario:
    """Commands that build on one another.

    Attributes:
        name: of the golden file.
        lines: commands, in order.
        slow: whether only the comparison of two commits runs it.
    """

    name: str
    lines: tuple[str, ...]
    slow: bool = False

    def commands(self) -> list[list[str]]:
        """The lines as arguments."""
        return [shlex.split(line) for line in self.lines]


def _lines(text: str) -> tuple[str, ...]:
    filled = text.replace("SIZES", SIZES).replace("TINY", TINY).replace("SEARCHES", SEARCHES)
    return tuple(line.strip() for line in filled.strip().splitlines())


SCENARIOS = (
    Scenario(
        "digits",
        _lines(
            """
            spaces
            spaces digits
            inspect samples/digits/lenet.pt
            inspect samples/digits/resnet56.pt
            inspect digits
            encode samples/digits/lenet.pt samples/digits/vanillacnn.pt samples/digits/resnet8.pt -o three.emb --refine 0
            encode samples/digits/lenet.pt -o lenet.emb --refine 2
            encode samples/digits/resnet8.pt -o resnet8.emb --refine 0
            inspect three.emb
            decode three.emb -o three
            decode three.emb -o recognised --recognised
            decode resnet8.emb -o fused.pt --fused
            decode resnet8.emb -o resnet8.safetensors
            inspect resnet8.safetensors
            interp lenet.emb resnet8.emb --steps 3 --csv path.csv --save-dir steps --plot path.svg
            interp samples/digits/lenet.pt lenet.emb --steps 2 --weights --refine 0 --csv weights.csv --split val
            lso lenet.emb --teacher samples/digits/resnet56.pt --steps 2 --images 16 -o best.emb --decode best.pt
            lso resnet8.emb --steps 2 --images 16 --lr 0.003
            lso lenet.emb --steps 2 --images 8 --arch vanillacnn
            prep samples/digits/lenet.pt -o lenet.npy
            encode samples/digits/lenet.pt -o planned.emb --dry-run
            decode lenet.emb -o planned.pt --dry-run
            interp samples/digits/lenet.pt resnet8.emb --steps 3 --dry-run --refine 1
            lso samples/digits/lenet.pt --steps 3 --dry-run --teacher samples/digits/resnet56.pt -o planned.emb
            prep samples/digits/lenet.pt -o planned.npy --dry-run
            """
        ),
    ),
    Scenario(
        "cifar10",
        _lines(
            """
            spaces cifar10
            encode samples/cifar10/lenet.pt samples/cifar10/vanillacnn.pt samples/cifar10/resnet8.pt -o three.emb
            decode three.emb -o three
            encode samples/cifar10/lenet.pt -o a.emb
            encode samples/cifar10/resnet8.pt -o b.emb
            interp a.emb b.emb --steps 4 --csv path.csv
            interp samples/cifar10/lenet.pt samples/cifar10/resnet8.pt --steps 3 --save-dir steps
            lso a.emb --steps 2
            interp a.emb samples/digits/lenet.pt
            """
        ),
    ),
    Scenario(
        "resnet32",
        _lines(
            """
            encode samples/cifar10/resnet32.pt -o cifar10.emb
            decode cifar10.emb -o cifar10.pt
            encode samples/digits/resnet32.pt -o digits.emb --refine 1
            decode digits.emb -o digits.pt
            interp samples/digits/lenet.pt samples/digits/resnet32.pt --steps 6 --refine 0
            """
        ),
        slow=True,
    ),
    Scenario(
        "shapes",
        _lines(
            """
            spaces shapes
            inspect samples/shapes/chair-a.pt
            encode samples/shapes/chair-a.pt -o a.emb --refine 0
            encode samples/shapes/chair-b.pt -o b.emb --refine 0
            decode a.emb -o a.pt
            mesh samples/shapes/chair-a.pt -o a.ply --resolution 24
            mesh a.emb samples/shapes/chair-b.pt -o two.svg --resolution 16
            lso a.emb --target ball.npz --steps 1 --images 256 -o ball.emb
            lso a.emb --target ball.npz --method adam --steps 2 --images 64
            encode samples/shapes/chair-a.pt -o planned.emb --dry-run
            interp a.emb b.emb --steps 2 --dry-run
            lso a.emb
            """
        ),
    ),
    Scenario(
        "shapes-solved",
        _lines(
            """
            encode samples/shapes/chair-a.pt -o a.emb --refine 2
            encode samples/shapes/chair-b.pt -o b.emb --refine 0
            interp a.emb b.emb --steps 2 --csv path.csv --plot row.svg
            interp a.emb b.emb --steps 2 --straight --csv straight.csv
            interp a.emb b.emb --steps 2 --straight --weights --csv weights.csv
            lso a.emb --target samples/shapes/chair-b.pt
            lso a.emb --target scan.npy --steps 2 --images 512 --decode scan.pt
            """
        ),
        slow=True,
    ),
    Scenario(
        "zoo",
        _lines(
            """
            zoo train zoo TINY --arch lenetlike --arch vanillacnn --arch resnet8 --counts 2/1/1 --epochs 1-2 --batch 20
            zoo train zoo TINY --arch lenetlike --counts 2/1/1 --epochs 1-2 --batch 20 --dry-run
            zoo train one TINY --arch lenetlike --counts 3/1/3 --epochs 0-2 --batch 20 --optimizer sgd
            zoo train teachers TINY --arch resnet14 --counts 1/0/0 --epochs 2 --batch 20
            zoo export teachers resnet14-0000 -o teacher.pt
            zoo show zoo
            zoo verify zoo
            zoo align zoo -o aligned
            zoo align zoo -o aligned --dry-run
            inspect zoo
            zoo index teachers TINY
            train zoo -o several.safetensors TINY --teacher teacher.pt SIZES -s train.own=1 -s backbone.feedback=1
            train one -o one.safetensors TINY SIZES
            train one -o conv.safetensors TINY -s backbone.kind=conv -s backbone.embedding_size=64 -s backbone.side=8 -s backbone.height=16 -s backbone.width=2800 -s train.steps=2 -s train.instances=1 -s train.images=8
            train one -o planned.safetensors TINY SIZES --dry-run
            inspect several.safetensors
            eval zoo --space several.safetensors TINY
            eval one --space one.safetensors TINY --plot fidelity.svg
            eval one --space conv.safetensors TINY --refine 0 --split val
            eval one --space one.safetensors TINY --dry-run
            encode zoo/instances/lenetlike/lenetlike-0000.safetensors -o a.emb --space several.safetensors TINY
            lso a.emb --space several.safetensors TINY --teacher teacher.pt --steps 3 --images 8
            """
        ),
    ),
    Scenario(
        "experiments",
        _lines(
            """
            zoo train zoo TINY --arch lenetlike --arch vanillacnn --arch resnet8 --counts 2/1/2 --epochs 1-2 --batch 20
            zoo train one TINY --arch lenetlike --counts 3/1/3 --epochs 0-2 --batch 20
            zoo train teachers TINY --arch resnet14 --counts 1/0/0 --epochs 2 --batch 20
            zoo export teachers resnet14-0000 -o teacher.pt
            train one -o one.safetensors TINY SIZES
            experiment single one -o single --space one.safetensors TINY --teacher teacher.pt SEARCHES
            experiment several zoo -o several TINY --teacher teacher.pt SIZES SEARCHES
            experiment rate one -o rate TINY SIZES --sizes 32,64 --search-steps 2 --search-images 8 --teacher-images 20
            experiment few-labels one -o few --space one.safetensors TINY --per-class 2 --seeds 1 --shift none,invert --steps 2 --images 8 --refine 2
            """
        ),
        slow=True,
    ),
    Scenario(
        "fields",
        _lines(
            """
            zoo fit ellipsoids.npz -o solids --arch siren-16x2 --counts 5/1/2 --steps 20 --points 64 --lr 3e-3 --threads 1
            zoo fit ellipsoids.npz -o solids --arch siren-16x2 --counts 5/1/2 --steps 20 --points 64 --lr 3e-3 --dry-run
            zoo show solids
            inspect solids
            train solids -o adam.safetensors SIZES -s backbone.read=answers -s backbone.probes=16 -s backbone.path=curvature --threads 1
            train solids -o solved.safetensors SIZES -s backbone.read=none -s backbone.write=direct -s backbone.path=learnt -s backbone.feedback=2 -s backbone.second_order=true -s backbone.probes=16 -s backbone.solve=1 -s backbone.solve_points=256 -s backbone.solve_near=0.5 -s refine.method=gauss-newton -s train.stretch=1.3 --threads 1
            eval solids --space adam.safetensors --threads 1
            eval solids --space solved.safetensors --refine 0 --threads 1
            zoo fit picture.png -o pictures --arch siren-16x2 --counts 1/0/0 --steps 20 --points 64 --lr 3e-3
            mesh pictures/instances/siren-16x2/picture.safetensors -o shown.png --resolution 16
            """
        ),
    ),
    Scenario(
        "refused",
        _lines(
            """
            encode missing.pt -o a.emb
            encode picture.png -o a.emb
            encode samples/digits/lenet.pt -o a.pt
            encode samples/digits/lenet.pt -o a.emb --space nosuch
            encode samples/digits/lenet.pt -o a.emb --data nosuch
            encode samples/cifar10/lenet.pt -o a.emb --refine 3
            decode samples/digits/lenet.pt -o a.pt
            interp samples/digits/lenet.pt samples/digits/resnet8.pt --weights
            interp samples/digits/lenet.pt samples/cifar10/lenet.pt
            interp samples/digits/lenet.pt samples/digits/lenet.pt --bend
            lso samples/digits/lenet.pt --teacher samples/cifar10/lenet.pt
            lso samples/digits/lenet.pt --target ball.npz
            lso samples/digits/lenet.pt --method gauss-newton
            lso samples/digits/lenet.pt --teacher-key x
            mesh samples/digits/lenet.pt -o a.ply
            train samples -o a.safetensors
            zoo show samples
            zoo train zoo --data tiny.npz --arch nosuch
            zoo fit tiny.npz -o zoo
            inspect nothing
            spaces nothing
            """
        ),
    ),
)


def tiny_images(draw: np.random.Generator) -> dict[str, Any]:
    """Three classes of 8 x 8 pictures that a small network tells apart: bright left, middle or right; for an npz file."""
    arrays: dict[str, Any] = {}
    for split, count in (("train", 60), ("val", 24), ("test", 30)):
        labels = np.arange(count) % 3
        images = draw.integers(0, 120, (count, 8, 8))
        for image, label in zip(images, labels, strict=True):
            image[:, 3 * label : 3 * label + 2] += 100
        arrays |= {f"{split}_images": images.astype(np.uint8), f"{split}_labels": labels[:, None].astype(np.uint8)}
    return arrays


def voxel_centres() -> np.ndarray:
    """(3, 10, 10, 10) of a grid, counted in voxels from its middle."""
    return np.stack(np.meshgrid(*[np.arange(10) - 4.5] * 3, indexing="ij"))


def ellipsoids(draw: np.random.Generator) -> np.ndarray:
    """(8, 10, 10, 10) solids, with other half axes and centres."""
    centres, grids = voxel_centres(), []
    for _ in range(8):
        axes, centre = draw.uniform(2, 4.5, (3, 1, 1, 1)), draw.uniform(-0.5, 0.5, (3, 1, 1, 1))
        grids.append((((centres - centre) / axes) ** 2).sum(axis=0) < 1)
    return np.stack(grids)


def make_inputs(folder: Path) -> None:
    """What the commands work on: links to the samples, and small images, solids, a scan and a picture."""
    from PIL import Image

    (folder / "samples").symlink_to(ROOT / "examples")
    draw = np.random.default_rng(0)
    np.savez(folder / "tiny.npz", **tiny_images(draw))
    np.savez(folder / "ellipsoids.npz", occupancy=ellipsoids(draw))
    np.savez(folder / "ball.npz", occupancy=((voxel_centres() / 3.5) ** 2).sum(axis=0)[None] < 1)
    normals = draw.normal(size=(2000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    np.save(folder / "scan.npy", np.concatenate([0.5 * normals, normals], axis=1).astype(np.float32))
    Image.fromarray(draw.integers(0, 255, (16, 16), dtype=np.uint8)).save(folder / "picture.png")
