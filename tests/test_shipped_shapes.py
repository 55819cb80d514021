"""The built-in space `shapes` and its sample networks: three chairs that it has never seen."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch

from netspace_cli.core.data.points import FieldData, field_data
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.encoding.fidelity import fidelity
from netspace_cli.core.networks.network import Network, read_network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.built_in import BUILT_IN
from netspace_cli.core.spaces.embeddings import Origin, embeddings_of, save_embeddings
from netspace_cli.core.spaces.recipe_reading import load_recipe
from netspace_cli.core.spaces.space import Space, load_space
from tests.worlds import Cli

ROOT = Path(__file__).parent.parent
SAMPLES = sorted((ROOT / "examples" / "shapes").glob("*.pt"))
WHAT = ("points alone", "with normals")


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space("shapes")


@pytest.fixture(scope="module")
def data(space: Space) -> FieldData:
    return field_data(space.record["data"])


@pytest.fixture(scope="module")
def samples(space: Space) -> list[Network]:
    return [read_network(path, candidates=space.architectures) for path in SAMPLES]


@pytest.fixture(scope="module")
def encoded(space: Space, data: FieldData, samples: list[Network]) -> torch.Tensor:
    """Two of them."""
    with Runner("cpu") as runner:
        return encode(samples[:2], space, runner, data=data).vectors


def test_it_is_small_and_made_by_the_recipe_that_stands_beside_it(space: Space) -> None:
    assert (BUILT_IN / "shapes.safetensors").stat().st_size < 20_000_000
    assert [path.name for path in SAMPLES] == ["chair-a.pt", "chair-b.pt", "chair-c.pt"]
    recipe = load_recipe(ROOT / "examples" / "recipes" / "shapes.toml")
    assert space.recipe == recipe.named(Path("shapes.safetensors"))
    assert len(space.embeddings) == len(space.record["zoo"]) == 60


@pytest.mark.usefixtures("few_voxels")
def test_encoded_chairs_are_nearer_to_themselves_than_any_other_chair(
    space: Space, data: FieldData, samples: list[Network], encoded: torch.Tensor
) -> None:
    assert {row["split"] for row in space.record["zoo"]} == {"train", "val"}
    assert (torch.cdist(encoded, space.embeddings) > 1).all(), "they took no part in training"
    with Runner("cpu") as runner:
        found = [fidelity(n, v, space, data, runner) for n, v in zip(samples, encoded, strict=False)]
        crossed = [fidelity(n, v, space, data, runner) for n, v in zip(samples, encoded.flip(0), strict=False)]
    assert min(f.iou or 0 for f in found) > 0.75 > 0.35 > max(f.iou or 0 for f in crossed)


@pytest.mark.slow
@pytest.mark.usefixtures("few_voxels")
def test_refined_they_are_nearer_still(
    space: Space, data: FieldData, samples: list[Network], encoded: torch.Tensor
) -> None:
    with Runner("cpu", seed=0) as runner:
        vectors = encode(samples[:1], space, runner, data=data, refine_steps=3).vectors
        before, found = (fidelity(samples[0], v, space, data, runner) for v in (encoded[0], vectors[0]))
    assert (found.iou or 0) > max(0.85, before.iou or 0) and found.error < 0.9 * before.error


@pytest.mark.slow
def test_the_order_of_hidden_units_does_not_matter(
    space: Space, data: FieldData, samples: list[Network], encoded: torch.Tensor
) -> None:
    network, order = samples[0], torch.randperm(256, generator=torch.Generator().manual_seed(0))
    state = dict(network.architecture.to_state(network.weights))
    state["layers.1.weight"], state["layers.1.bias"] = state["layers.1.weight"][order], state["layers.1.bias"][order]
    state["layers.2.weight"] = state["layers.2.weight"][:, order]
    other = Network(network.architecture, network.architecture.to_weights(state))
    assert not torch.equal(other.weights, network.weights)
    with Runner("cpu") as runner:
        found = encode([other], space, runner, data=data).vectors[0]
    assert (found - encoded[0]).norm() < 0.02 * encoded[0].norm()


@pytest.mark.slow
@pytest.mark.usefixtures("few_voxels")
def test_a_row_of_chairs_at_once(
    tmp_path: Path, cli: Cli, space: Space, encoded: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, vector in zip("ab", encoded, strict=False):
        save_embeddings(Path(f"{name}.emb"), embeddings_of(space, vector[None], [Origin("siren")]))
    found = cli("interp", "a.emb", "b.emb", "--steps", 2, "--plot", "row.png", "--json")
    assert found.exit_code == 0, found.stderr
    document = json.loads(found.stdout)
    assert document["space"] == "shapes" and Path("row.png").exists()
    ends = [document["steps"][i]["volume"] for i in (0, 2)]
    assert 0.5 * min(ends) < document["steps"][1]["volume"] < 1.5 * max(ends)
    assert document["steps"][1]["volume"] > 1.5 * document["straight_steps"][1]["volume"]


@pytest.mark.slow
def test_the_example_scans_a_surface_all_around_and_from_one_side(samples: list[Network]) -> None:
    example = runpy.run_path(str(ROOT / "examples" / "scan.py"))
    with Runner("cpu") as runner:
        scans = example["scans_of"](samples[1], runner)
        assert example["overlap"](samples[1], samples[1], runner) == 1
    assert list(scans) == [f"{side}, {what}" for side in ("all around", "one side") for what in WHAT]
    for side, fewest in (("all around", 20_000), ("one side", 8_000)):
        alone, scan = (scans[f"{side}, {what}"] for what in WHAT)
        assert alone.normals is None and torch.equal(alone.points, scan.points) and len(scan.points) >= fewest
        values = [
            samples[1].architecture.run(samples[1].weights, scan.points + off * scan.normals)
            for off in (-0.02, 0, 0.02)
        ]
        assert float(values[1].abs().mean()) < 0.01
        assert (values[0] < values[2]).double().mean() > 0.97, "normals lead out"
