"""What ships keeps its promises: the built-in space `digits` and the sample networks beside it."""

from __future__ import annotations

import runpy
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest
import torch

from netspace_cli.core.data.datasets import load_images
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.encoding.decode import decode_row, write_decoded
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.networks.network import Network, read_network
from netspace_cli.core.networks.scores import scores
from netspace_cli.core.paths.path import interpolate
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.search.lso import optimise, optimiser_for
from netspace_cli.core.spaces.built_in import BUILT_IN
from netspace_cli.core.spaces.space import Space, load_space

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "examples" / "digits"
NAMES = {"lenet": "lenetlike", "vanillacnn": "vanillacnn", "resnet8": "resnet8", "resnet32": "resnet32"}


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space("digits")


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_images("digits")


@pytest.fixture(scope="module")
def samples(space: Space) -> dict[str, Network]:
    return {n: read_network(SAMPLES / f"{n}.pt", candidates=space.architectures) for n in NAMES}


@pytest.fixture(scope="module")
def teacher(space: Space) -> Network:
    return read_network(SAMPLES / "resnet56.pt", io=space.io)


@pytest.fixture(scope="module")
def embeddings(space: Space, samples: dict[str, Network]) -> dict[str, torch.Tensor]:
    with Runner("cpu") as runner:
        vectors = encode(list(samples.values()), space, runner).vectors
    return dict(zip(samples, vectors, strict=True))


def test_all_of_it_is_under_25_megabytes() -> None:
    files = [*SAMPLES.glob("*.pt"), BUILT_IN / "digits.safetensors"]
    assert len(files) == 6
    assert sum(f.stat().st_size for f in files) < 25_000_000


def test_the_samples_are_what_they_are_called(samples: dict[str, Network], teacher: Network) -> None:
    assert {name: n.architecture.name for name, n in samples.items()} == NAMES
    assert teacher.architecture.name == "resnet56"


def test_no_sample_was_used_in_training(space: Space, samples: dict[str, Network]) -> None:
    ids = {row["id"] for row in space.record["zoo"]}
    assert len(ids) == 4 * 36
    for name, network in samples.items():
        with Runner("cpu") as runner:
            own = encode([network], space, runner).vectors
        nearest = (space.embeddings - own).norm(dim=1).min()
        assert nearest > 0, name


def test_predicted_samples_are_recognised_and_as_good_as_trained_ones(
    space: Space, digits: ImageData, embeddings: dict[str, torch.Tensor]
) -> None:
    with Runner("cpu") as runner:
        for name, vector in embeddings.items():
            step = interpolate(vector, vector, space, runner, steps=1, data=digits)[0]
            assert step.network.architecture.name == NAMES[name]
            assert step.accuracy is not None and step.accuracy >= 0.97


def test_the_path_leads_through_the_four_architectures_in_order(
    space: Space, digits: ImageData, embeddings: dict[str, torch.Tensor]
) -> None:
    with Runner("cpu") as runner:
        path = interpolate(embeddings["lenet"], embeddings["resnet32"], space, runner, steps=20, data=digits)
    names = [step.network.architecture.name for step in path]
    assert [name for name, _ in groupby(names)] == ["lenetlike", "vanillacnn", "resnet8", "resnet32"]
    third, two_thirds = path[7], path[13]
    assert third.network.architecture.name == "vanillacnn"
    assert two_thirds.network.architecture.name == "resnet8"
    assert min(third.accuracy or 0, two_thirds.accuracy or 0) >= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet", "resnet8"])
def test_optimising_towards_the_teacher_lowers_the_loss_and_keeps_the_accuracy(
    space: Space, digits: ImageData, samples: dict[str, Network], teacher: Network, name: str
) -> None:
    with Runner("cpu") as runner:
        refined = encode([samples[name]], space, runner, data=digits, refine_steps=20).vectors[0]
        optimiser = optimiser_for(space, steps=20, images=32)
        found = optimise(refined, space, digits, runner, teacher=teacher, optimiser=optimiser)
    assert found.optimised.arch == NAMES[name]
    assert found.optimised.loss < found.initial.loss
    assert found.optimised.accuracy >= found.initial.accuracy - 0.01


PLAIN = ROOT / "examples" / "plain_pytorch.py"


@pytest.mark.slow
def test_decoded_samples_load_in_plain_pytorch(
    space: Space, embeddings: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    files = {name: tmp_path / f"{name}.pt" for name in NAMES}
    for name, file in files.items():
        write_decoded([decode_row(embeddings[name], space, arch=NAMES[name])], [file], space, force=False)
    script = "import runpy, sys; sys.modules['netspace_cli'] = sys.modules['netspace_models'] = None\n"
    for name, file in files.items():
        script += f"sys.argv = ['', {name!r}, {str(file)!r}]; runpy.run_path({str(PLAIN)!r}, run_name='__main__')\n"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [str(file) for file in files.values()]
    assert all(told_accuracy(line) >= 97 for line in lines)


def test_the_plain_modules_compute_what_ours_do(
    samples: dict[str, Network],
    digits: ImageData,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Runner("cpu") as runner:
        for name in ("lenet", "resnet8"):
            own = scores(samples[name].architecture, samples[name].weights, digits, runner)
            counts = {split: len(rows.labels) for split, rows in digits.splits.items()}
            total = sum(own[s] * n for s, n in counts.items()) / sum(counts.values())
            monkeypatch.setattr(sys, "argv", ["", name, str(SAMPLES / f"{name}.pt")])
            runpy.run_path(str(PLAIN), run_name="__main__")
            assert abs(told_accuracy(capsys.readouterr().out) / 100 - total) < 0.003


def told_accuracy(line: str) -> float:
    """In per cent, as `plain_pytorch.py` prints it."""
    return float(line.split("strictly; ")[1].split(" %")[0])
