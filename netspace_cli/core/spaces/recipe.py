"""Recipes: all settings of a space's training, read from TOML, checked whole before work starts."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from netspace_models.errors import ConfigError
from netspace_models.gauss_newton import DAMPING
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from netspace_cli.core.kinds.kind import Kind
from netspace_cli.core.runtime.minimise import Descent


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TokensRecipe(_Section):
    """The tokens backbone's sizes (see `netspace_models.backbones.TokensBackbone`)."""

    kind: Literal["tokens"] = "tokens"
    embedding_size: PositiveInt = 4096
    latents: PositiveInt = 32
    chunk: PositiveInt = 256
    width: PositiveInt = 128
    depth: PositiveInt = 2
    heads: PositiveInt = 4
    path: Literal["sketch", "curvature", "learnt"] = "sketch"
    gain: float = Field(1.0, ge=0)
    read: Literal["all", "answers", "none"] = "all"
    write: Literal["all", "direct"] = "all"
    feedback: int = Field(0, ge=0)
    second_order: bool = False
    solve: int = Field(0, ge=0)
    solve_points: int = Field(8192, ge=1)
    solve_near: float = Field(0.0, ge=0, le=1)
    probes: int = Field(64, ge=0)


class ConvRecipe(_Section):
    """The conv backbone's sizes; height None is the published one for the case at hand."""

    kind: Literal["conv"] = "conv"
    embedding_size: PositiveInt = 4096
    height: PositiveInt | None = None
    width: PositiveInt = 10_000
    side: PositiveInt = 64


class SpaceRecipe(_Section):
    """What the space is to be.

    Attributes:
        name: how people call it; None for that of the file it is written to.
        unseen: architectures of the space that no training instance has; only interpolation draws them.
        start: each decoder's starting point, "best" (the training instance with the best validation
            accuracy) or "random".
    """

    name: str | None = Field(None, min_length=1)
    unseen: tuple[str, ...] = ()
    start: Literal["best", "random"] = "best"


class TrainRecipe(_Section):
    """How it is trained.

    Attributes:
        steps: steps of the optimiser.
        instances: networks a step, of each architecture.
        images: images, or points, a step.
        lr, warmup, schedule: Adam's highest rate, steps to reach it, what follows.
        clip: largest norm of the gradient, 0 for none.
        temperature, alpha, interpolation: of the losses (eq. 1-12); where networks are signals, interpolation is
            the weight of what stands between two of them.
        own: of several architectures, the weight of each network's own answers beside the teacher's; 0 as published,
            where all networks of an architecture come out nearly the same.
        near: share of a step's points that lie near the surface of each instance, where networks are shapes.
        stretch: where networks are shapes, stretch each along each axis by up to this factor, another one each time,
            and shift it, as far as its surface stays in the box; 1 for none.
        fresh: what stands for a network that nothing trained (an unseen architecture, a random start) moves so many
            times as far as lr, in its own weights: Adam on a network without batch norms is best at several times
            the rate that suits the rest.
        shuffle: reorder the hidden units of each input at random, a new order each time.
        noise: add noise to each input's weights, this share of their layer's deviation; the target is the
            network without it.
        validate_every, checkpoint_every: steps.
    """

    steps: PositiveInt = 1000
    instances: PositiveInt = 8
    images: PositiveInt = 128
    lr: PositiveFloat = 1e-3
    warmup: int = Field(50, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    clip: float = Field(1.0, ge=0)
    temperature: PositiveFloat = 4.0
    alpha: float = Field(0.9, ge=0, le=1)
    interpolation: float = Field(1.0, ge=0)
    own: float = Field(0.0, ge=0)
    near: float = Field(0.5, ge=0, le=1)
    stretch: float = Field(1.0, ge=1)
    fresh: PositiveFloat = 5.0
    shuffle: bool = True
    noise: float = Field(0.0, ge=0)
    validate_every: PositiveInt = 100
    checkpoint_every: PositiveInt = 100


class RefineRecipe(_Section):
    """How embeddings are refined.

    Attributes:
        method: "adam" on the embedding, the rate falling as a cosine; or "gauss-newton", for networks that are signals
            and decoders that write along directions.
        steps: how many by default; images: images, or points, a step.
        lr, lr_end: of Adam.
        temperature: of the imitation of a classifier's own answers; None for the one it was trained at.
        damping: of Gauss-Newton.
    """

    method: Literal["adam", "gauss-newton"] = "adam"
    steps: int = Field(100, ge=0)
    images: PositiveInt = 128
    lr: PositiveFloat = 0.02
    lr_end: PositiveFloat = 0.001
    temperature: PositiveFloat | None = None
    damping: PositiveFloat = DAMPING

    def descent(self, steps: int | None = None) -> Descent:
        """Adam's part, of so many steps."""
        return Descent(self.steps if steps is None else steps, self.images, self.lr, self.lr_end)


class LsoRecipe(_Section):
    """How embeddings are optimised by Adam.

    Attributes:
        steps: how many by default; images: images, or points, a step.
        lr: the highest rate; rates: by architecture, where its decoder wants another.
    """

    steps: PositiveInt = 200
    images: PositiveInt = 128
    lr: PositiveFloat = 0.01
    rates: dict[str, PositiveFloat] = {}

    def rate(self, arch: str) -> float:
        """For an architecture."""
        return self.rates.get(arch, self.lr)


class Recipe(_Section):
    """All of it. Unknown keys are refused."""

    space: SpaceRecipe = SpaceRecipe()
    backbone: Annotated[TokensRecipe | ConvRecipe, Field(discriminator="kind")] = TokensRecipe()
    train: TrainRecipe = TrainRecipe()
    refine: RefineRecipe = RefineRecipe()
    lso: LsoRecipe = LsoRecipe()

    @property
    def refine_temperature(self) -> float:
        """Of refining: its own, else that of training."""
        return self.refine.temperature or self.train.temperature

    def named(self, output: Path) -> Recipe:
        """The same with a name: its own, else that of the space's file without its extension."""
        if self.space.name is not None:
            return self
        return self.model_copy(update={"space": self.space.model_copy(update={"name": output.stem})})


def load_recipe(path: Path | None, overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe and override single values of it.

    Args:
        path: a TOML file; None for the defaults.
        overrides: by "section.key", values in TOML's notation; a bare word is taken as a string.
    Raises:
        ConfigError: not TOML, an unknown key (with the nearest), or a value that does not fit.
    """
    table: dict[str, Any] = {}
    if path is not None:
        try:
            table = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as failure:
            raise ConfigError(f"{path} cannot be read as a recipe: {failure}.") from failure
    for key, text in (overrides or {}).items():
        _override(table, key, text)
    return recipe_from(table)


def recipe_from(table: Mapping[str, Any]) -> Recipe:
    """A recipe from nested tables.

    Raises:
        ConfigError: an unknown key (with the nearest), or a value that does not fit.
    """
    table = {**table}
    backbone = table.get("backbone")
    if isinstance(backbone, dict) and "kind" not in backbone:
        table["backbone"] = {"kind": "tokens", **backbone}
    try:
        return Recipe.model_validate(table)
    except ValidationError as failure:
        raise ConfigError(*_explain(failure)) from failure


def _override(table: dict[str, Any], key: str, text: str) -> None:
    settable = [k for k in _known_keys() if "." in k]
    if key not in settable:
        form = "" if key.count(".") == 1 else ": keys are section.key"
        near = _nearest(key, settable)
        hint = f"Did you mean {near!r}?" if near else "Keys are such as train.steps; see examples/recipes."
        raise ConfigError(f"the recipe has no key {key!r}{form}.", hint)
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        value = text
    name, _, last = key.partition(".")
    section = table.setdefault(name, {})
    if not isinstance(section, dict):
        raise ConfigError(f"{name} is not a section of a recipe.", "See examples/recipes.")
    section[last] = value


def _nearest(key: str, known: Sequence[str]) -> str | None:
    """The known key that is most like `key`, by its whole or by its last word; None where none is."""
    by_last = {k.rpartition(".")[2]: k for k in reversed(known)}
    whole = difflib.get_close_matches(key, known, n=1)
    last = difflib.get_close_matches(key.rpartition(".")[2], by_last, n=1)
    return whole[0] if whole else by_last[last[0]] if last else None


def _explain(failure: ValidationError) -> tuple[str, str]:
    """The first fault in words, and the next step."""
    fault = failure.errors()[0]
    # The tag of the backbone's union is pydantic's own step in the path, not the user's.
    path = [str(p) for i, p in enumerate(fault["loc"]) if not (i == 1 and fault["loc"][0] == "backbone")]
    key = ".".join(path) or "backbone.kind"
    if fault["type"] == "extra_forbidden" and key in _known_keys():
        kind = fault["loc"][1]
        return f"the {kind} backbone has no {key}.", "Leave it out: it is a size of the other kind."
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, _known_keys(), n=1, cutoff=0.5)
        return (
            f"the recipe has no key {key!r}.",
            f"Did you mean {near[0]!r}?" if near else "See examples/recipes.",
        )
    return (
        f"the recipe's {key} = {fault['input']!r} does not do: {fault['msg'].lower()}.",
        "See examples/recipes.",
    )


def _known_keys() -> list[str]:
    keys = []
    for name, section in (
        ("space", SpaceRecipe),
        ("backbone", TokensRecipe),
        ("backbone", ConvRecipe),
        ("train", TrainRecipe),
        ("refine", RefineRecipe),
        ("lso", LsoRecipe),
    ):
        keys += [name, *(f"{name}.{key}" for key in section.model_fields)]
    return keys


def check_method(recipe: Recipe, kind: Kind) -> None:
    """Refuse a method of refining that is not for such data.

    Raises:
        ConfigError: Gauss-Newton for classifiers, or for a decoder without directions.
    """
    if recipe.refine.method == "gauss-newton":
        check_solvable(recipe, kind, "refine.method = 'gauss-newton'")


def check_solvable(recipe: Recipe, kind: Kind, asked: str) -> None:
    """Refuse Gauss-Newton where it is not for the networks or the decoder.

    Args:
        asked: what asks for it, for the message.
    Raises:
        ConfigError: classifiers, or a decoder without directions.
    """
    if not kind.solvable:
        raise ConfigError(
            f"{asked} is for networks that are signals, and these are classifiers.", "Leave it at 'adam'."
        )
    backbone = recipe.backbone
    if not isinstance(backbone, TokensRecipe) or backbone.path == "sketch" or not backbone.gain:
        told = f", path {backbone.path!r}, gain {backbone.gain:g}" if isinstance(backbone, TokensRecipe) else ""
        raise ConfigError(
            f"{asked} needs a decoder that writes along directions; this one is of the {backbone.kind} backbone{told}.",
            "Set backbone.path to 'learnt' or 'curvature' and leave backbone.gain at 1, or leave the method at 'adam'.",
        )
