"""Networks whose surfaces are known, balls; and a space that can be solved for."""

from __future__ import annotations

from math import pi

import pytest
import torch
from netspace_models.architectures import FieldIO, build

from netspace_cli.core.data.points import field_data
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.solids import Solid, solid_of
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.training.loop import train
from tests.worlds import MakeBall, MakeSolid, Point, Solids


@pytest.fixture
def ball() -> MakeBall:
    """Makes one: radius and centre; a negative radius for none at all."""

    def made(radius: float, centre: Point = (0, 0, 0)) -> Network:
        """A network of three sines that is nearly |x - centre|² - radius²: cosines of a tenth of each coordinate."""
        architecture = build("siren-3x1", FieldIO(3, 1))
        state = {
            "layers.0.weight": torch.eye(3) / 300,
            "layers.0.bias": (pi / 2 - torch.tensor(centre) / 10) / 30,
            "layers.1.weight": torch.full((1, 3), -200.0),
            "layers.1.bias": torch.tensor([600 - radius * abs(radius)]),
        }
        return Network(architecture, architecture.to_weights(state))

    return made


@pytest.fixture
def solid(ball: MakeBall) -> MakeSolid:
    """Makes the solid of one, on a grid of so many voxels a side."""

    def made(radius: float, centre: Point = (0, 0, 0), resolution: int = 32) -> Solid:
        return solid_of(ball(radius, centre), Runner("cpu"), resolution=resolution)

    return made


@pytest.fixture(scope="session")
def linear(solids: Solids, tmp_path_factory: pytest.TempPathFactory) -> Space:
    """A space of the solids, its decoder linear in the embedding."""
    table = solids.recipe.model_dump()
    table["backbone"] |= {"embedding_size": 256, "writer": {"kind": "direct"}, "feedback": {"rounds": 1}}
    table["backbone"] |= {"reader": {"kind": "constant", "probes": 16}}
    table["backbone"] |= {"solve": {"steps": 2, "points": 512, "near_surface_share": 0.5}}
    with Runner("cpu") as runner:
        path = tmp_path_factory.mktemp("linear") / "linear.safetensors"
        return train(solids.zoo, path, recipe_from(table), field_data(solids.zoo.data), runner)
