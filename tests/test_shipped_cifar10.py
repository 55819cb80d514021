"""The built-in space `cifar10` and its sample networks, without the images: those are nobody's to ship."""

from __future__ import annotations

import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest
import torch
from netspace_models.architectures import ImageIO

from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.files.checkpoint import read_checkpoint
from netspace_cli.core.networks.factories import fresh_module
from netspace_cli.core.networks.network import Network, read_network
from netspace_cli.core.paths.path import interpolate
from netspace_cli.core.requests.choose_space import choose_space
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.built_in import BUILT_IN
from netspace_cli.core.spaces.recipe_reading import load_recipe
from netspace_cli.core.spaces.space import Space, load_space
from tests.worlds import Cli

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "examples" / "cifar10"
NAMES = {"lenet": "lenetlike", "vanillacnn": "vanillacnn", "resnet8": "resnet8", "resnet32": "resnet32"}
IO = ImageIO(3, 32, 10)


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space("cifar10")


@pytest.fixture(scope="module")
def samples(space: Space) -> dict[str, Network]:
    return {n: read_network(SAMPLES / f"{n}.pt", candidates=space.architectures) for n in NAMES}


@pytest.fixture(scope="module")
def embeddings(space: Space, samples: dict[str, Network]) -> dict[str, torch.Tensor]:
    with Runner("cpu") as runner:
        vectors = encode(list(samples.values()), space, runner).vectors
    return dict(zip(samples, vectors, strict=True))


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with no images near it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_small_and_found_by_what_it_knows(space: Space) -> None:
    assert (BUILT_IN / "cifar10.safetensors").stat().st_size < 30_000_000
    assert [a.name for a in space.architectures] == list(NAMES.values())
    assert space.io == IO
    assert len(space.embeddings) == len(space.record["zoo"])
    assert choose_space(None, [SAMPLES / f"{n}.pt" for n in NAMES]).name == "cifar10"


def test_it_is_what_its_recipe_makes(space: Space) -> None:
    recipe = load_recipe(ROOT / "examples" / "recipes" / "cifar10.toml").named(Path("cifar10.safetensors"))
    assert space.recipe == recipe


def test_the_samples_are_what_they_are_called_and_took_no_part_in_training(
    space: Space, samples: dict[str, Network], embeddings: dict[str, torch.Tensor]
) -> None:
    assert {name: n.architecture.name for name, n in samples.items()} == NAMES
    assert {row["split"] for row in space.record["zoo"]} == {"train", "val"}
    for name, vector in embeddings.items():
        assert (space.embeddings - vector).norm(dim=1).min() > 0, name


def test_the_path_leads_through_the_four_architectures_in_order(
    space: Space, embeddings: dict[str, torch.Tensor]
) -> None:
    with Runner("cpu") as runner:
        path = interpolate(embeddings["lenet"], embeddings["resnet32"], space, runner, steps=20)
    names = [step.network.architecture.name for step in path]
    assert [name for name, _ in groupby(names)] == list(NAMES.values())
    assert (names[7], names[13]) == ("vanillacnn", "resnet8")


def test_the_first_commands_of_anybody_work_and_say_how_to_name_the_images(away: Path, cli: Cli) -> None:
    hint = "No accuracy: the images of cifar10 are not available. Name them with --data, e.g. --data cifar10:DIR."
    for command in (
        ("encode", SAMPLES / "resnet8.pt", "-o", "a.emb"),
        ("decode", "a.emb", "-o", "a.pt"),
        ("interp", SAMPLES / "lenet.pt", SAMPLES / "resnet32.pt", "--steps", "3"),
    ):
        result = cli(*command)
        assert result.exit_code == 0, result.stderr
        assert hint in result.stderr
    module = fresh_module("resnet8", IO)
    module.load_state_dict(read_checkpoint(Path("a.pt")).state, strict=True)
    assert torch.isfinite(module.eval()(torch.randn(2, 3, 32, 32))).all()


def test_optimising_refuses_without_images(away: Path, cli: Cli) -> None:
    result = cli("lso", SAMPLES / "lenet.pt", "-o", "best.emb")
    assert result.exit_code == 2
    assert "the images of cifar10, which space 'cifar10' was trained on, are not available" in result.stderr
    assert "--data cifar10:DIR" in result.stderr
    assert not Path("best.emb").exists()


ENCODE = """
import sys, torch
from netspace_cli.cli import cli
cli.main(["encode", {network!r}, "-o", "one.emb"], prog_name="netspace", standalone_mode=False)
from netspace_cli.core.runtime.minimise import AdamSchedule, minimise
from netspace_cli.core.runtime.runner import Runner
minimise(torch.ones(1, 2), lambda z, step: z.square().sum(), AdamSchedule(2), Runner("cpu"), description="refining")
heavy = "torch._dynamo scipy.ndimage scipy.optimize scipy.spatial scipy.stats sklearn skimage trimesh matplotlib pandas"
print(*(set(heavy.split()) & set(sys.modules)), file=sys.stderr)
"""


def test_encoding_and_refining_load_only_what_they_need(away: Path) -> None:
    code = ENCODE.format(network=str(SAMPLES / "lenet.pt"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == ""
    assert (away / "one.emb").exists()
