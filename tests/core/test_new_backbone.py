"""A backbone of a test's own: named in the registry, it is trained, written, opened and used as any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch
from netspace_models.backbones import ArchitectureInit, Backbone, BackboneSettings, Settings
from netspace_models.backbones.registry import BACKBONES
from netspace_models.errors import ConfigError
from netspace_models.network_io import NetworkIO
from torch import Tensor, nn

from netspace_cli.core.encoding.decode import decode
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.experiments.rate import recipe_of_size
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.paths.path import interpolate
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe_reading import load_recipe, recipe_from
from netspace_cli.core.spaces.space import load_space
from netspace_cli.core.training.loop import train
from netspace_cli.core.training.memory import footprint
from tests.worlds import Tiny

PLAIN = {"kind": "plain", "embedding_size": 12, "first": {"deviation": 0.05}}


class PlainBackbone(Backbone):
    """Each architecture's start, and a matrix there and back."""

    def __init__(self, inits: Mapping[str, ArchitectureInit], size: int, deviation: float) -> None:
        super().__init__()
        self.embedding_size, self.specs = size, {name: init.spec for name, init in inits.items()}
        self.index = {name: i for i, name in enumerate(inits)}
        starts = [torch.zeros(i.spec.size) if i.start is None else i.start for i in inits.values()]
        self.starting = nn.ParameterList(starts)
        self.matrices = nn.ParameterList(deviation * torch.randn(size, len(start)) for start in starts)

    def encode(self, arch: str, vectors: Tensor) -> Tensor:
        i = self.index[arch]
        return (vectors - self.starting[i]) @ self.matrices[i].T

    def decode(self, arch: str, embeddings: Tensor, start: int = 0) -> Tensor:
        i = self.index[arch]
        return self.starting[i] + embeddings @ self.matrices[i]


@dataclass(frozen=True)
class First(Settings):
    """`[backbone.first]`."""

    deviation: float = 0.01


@dataclass(frozen=True)
class PlainSettings(BackboneSettings):
    """`[backbone]`."""

    kind: Literal["plain"] = "plain"
    embedding_size: int = 8
    first: First = First()

    def build(self, inits: Mapping[str, ArchitectureInit], io: NetworkIO) -> PlainBackbone:
        return PlainBackbone(inits, self.embedding_size, self.first.deviation)

    def build_head(self, architectures: int) -> nn.Module:
        return nn.Linear(self.embedding_size, architectures)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "plain", PlainSettings)


@pytest.mark.parametrize("several", [False, True])
def test_a_line_in_the_registry_is_all_that_a_backbone_needs(tiny: Tiny, tmp_path: Path, several: bool) -> None:
    table = {**tiny.recipe.model_dump(), "backbone": PLAIN}
    table["train"] = {**table["train"], "steps": 8}
    recipe, path = recipe_from(table), tmp_path / "plain.safetensors"
    zoo = tiny.zoo if several else tiny.single_zoo
    teacher = read_network(tiny.teacher, io=tiny.data.io) if several else None
    assert footprint(recipe, zoo).parameters > 12 * 20_000
    assert (footprint(recipe, zoo).warning(recipe, 0) or "").endswith("Lower backbone.embedding_size (12).")
    with Runner("cpu") as runner:
        train(zoo, path, recipe, tiny.data, runner, teacher=teacher)
        space = load_space(path)
        assert isinstance(space.model.backbone, PlainBackbone) and space.recipe == recipe.named(path)
        archs = ["lenetlike", "resnet8"] if several else ["lenetlike"] * 2
        networks = [read_network(tiny.networks[arch], candidates=space.architectures) for arch in archs]
        embeddings = encode(networks, space, runner, data=tiny.data, refine_steps=2)
        assert embeddings.vectors.shape == (2, 12)
        assert all(bool(n.weights.isfinite().all()) for n in decode(embeddings, space, runner))
        assert (
            len(interpolate(embeddings.vectors[0], embeddings.vectors[1], space, runner, steps=2, data=tiny.data)) == 3
        )


def test_its_keys_are_those_of_recipes() -> None:
    recipe = load_recipe(None, {"backbone.kind": "plain", "backbone.first.deviation": "0.5"})
    assert recipe.backbone == PlainSettings(first=First(0.5))
    assert recipe_from(recipe.model_dump(mode="json")) == recipe
    with pytest.raises(ConfigError, match=r"the recipe has no key 'backbone\.first\.deviations'") as refused:
        recipe_from({"backbone": {"kind": "plain", "first": {"deviations": 1}}})
    assert refused.value.hint == "Did you mean 'backbone.first.deviation'?"
    with pytest.raises(ConfigError, match=r"the plain backbone has no backbone\.latents"):
        recipe_from({"backbone": {"kind": "plain", "latents": 1}})


def test_what_it_cannot_do_is_refused() -> None:
    recipe = recipe_from({"backbone": PLAIN})
    assert not recipe.backbone.solvable and not recipe.backbone.needs_curvature
    with pytest.raises(ConfigError, match="the plain backbone supports only the embedding size 12"):
        recipe_of_size(recipe, 24)
