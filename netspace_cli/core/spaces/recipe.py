"""Recipes: all settings of a space's training, by section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal

from netspace_models.backbones.registry import BACKBONES, DEFAULT
from netspace_models.backbones.settings import MOST, MOST_PARTS, BackboneSettings
from netspace_models.errors import ConfigError
from netspace_models.second_order.gauss_newton import DAMPING
from netspace_models.training.augmentations import Augmentations
from netspace_models.training.objectives import LevelLoss
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PositiveFloat,
    SerializeAsAny,
    TypeAdapter,
)

from netspace_cli.core.kinds.kind import Kind
from netspace_cli.core.runtime.minimise import AdamSchedule

# A recipe may be a stranger's, in the file of a space: no number of things is without an upper bound.
MOST_STEPS = 1_000_000_000
Some = Annotated[int, Field(gt=0, le=MOST)]
Steps = Annotated[int, Field(gt=0, le=MOST_STEPS)]

# The sections that have tables of their own.
WITH_TABLES = ("backbone", "train")


class Section(BaseModel):
    """A table of a recipe. Its keys have types and bounds; other keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SpaceRecipe(Section):
    """`[space]`: properties of the space.

    Attributes:
        name: the space's name; the name of its file by default.
        unseen: architectures of the space that no training instance has; only interpolation draws them.
        start: starting point of each architecture's decoder: "best", the training instance with the best validation
            accuracy, or "random".
        starts: number of starting points of each architecture, or of those in `starts_for`. From the first one an
            embedding decodes to a network that imitates its own; from each other one, to a network as good with other
            mistakes.
        starts_for: architectures with further starting points; all if empty.
        parents: number of training instances that each further starting point is recombined from; by default 2 where
            there are convolutions, else 4.
    """

    name: str | None = Field(None, min_length=1)
    unseen: tuple[str, ...] = ()
    start: Literal["best", "random"] = "best"
    starts: Some = 1
    starts_for: tuple[str, ...] = ()
    parents: Some | None = None

    def starts_of(self, arch: str) -> int:
        """Number of starting points of an architecture."""
        return self.starts if not self.starts_for or arch in self.starts_for else 1


class ReconstructRecipe(Section):
    """`[train.reconstruct]`: how weights are learnt, unless the objective is only to imitate.

    Attributes:
        layer_normalisation: divide errors by their layer's standard deviation over the training instances (layer-wise
            loss normalisation).
        target: weights to reconstruct: those of the "view" that the encoder sees, as published, or of the "instance",
            with its hidden units in the zoo's order.
        beta: share of the weights in the objective "both"; the share of behaviour is 1 - beta.
    """

    layer_normalisation: bool = True
    target: Literal["view", "instance"] = "view"
    beta: float = Field(0.1, ge=0, le=1)


class ContrastRecipe(Section):
    """`[train.contrast]`: views of one network get similar embeddings, those of others different ones.

    Attributes:
        gamma: share of this term in the loss, 0 for none; the rest has 1 - gamma.
        temperature: temperature of the term's cross entropy.
        width: width of the projection head; the space does not keep it.
    """

    gamma: float = Field(0.0, ge=0, lt=1)
    temperature: PositiveFloat = 0.1
    width: Some = 128


class TrainRecipe(Section):
    """`[train]`: how the space is trained.

    Attributes:
        objective: "imitate": learn what networks compute (eq. 1-12); "reconstruct": learn their weights; "both".
        steps: steps of the optimiser.
        instances: networks a step, of each architecture.
        images: images, or points, a step.
        image_views: 0: training images are drawn anew in each step, each augmented anew, and the teacher
            answers them in each. V: each has V fixed views, the first as it is; every pass through the images shows the
            next one, and the teacher answers each once, before the first step.
        optimizer: "adam"; or "muon", which moves the weights of the encoder's and decoder's linear layers and
            convolutions by matrices whose singular values are alike, and the rest by Adam.
        lr: highest learning rate; Muon's steps have the size of Adam's.
        warmup: steps in which the rate rises from 0.
        schedule: what the rate does then: "cosine" or "constant".
        clip: largest norm of the gradient, 0 for no limit.
        temperature: temperature of the distillation (eq. 1, 5).
        alpha: share of the distillation beside the labels (eq. 1, 5).
        interpolation: weight of what lies between two networks (eq. 7-12); for neural fields, of blends of two.
        self_imitation: weight of each network's own answers beside the teacher's, for several architectures. At 0, as
            published, all networks of an architecture come out nearly the same.
        near_surface_share: share of a step's points near the surface of each instance, for shapes.
        level: weight of networks decoded from further starting points (`space.starts`).
        level_loss: what further starting points learn: "matched", the same mean log-probability of the labels as the
            network that was encoded, or "labels", the labels themselves.
        stretch: stretch shapes along each axis by up to this factor, at random, and shift them within the box; 1 for
            neither.
        untrained_lr_factor: learning rate, over `lr`, of decoder biases that start untrained or recombined (unseen
            architectures, random and further starting points): Adam on a network without batch norms is best at several
            times the rate that suits the rest.
        shuffle: reorder the hidden units of each input at random, each time anew.
        noise: add noise to each input's weights, of this share of their layer's deviation.
        multiplicative_noise: multiply each input's weights by 1 plus noise of this deviation.
        erase: share of each input's weights that is set to zero.
        erase_kind: erase one "block" of weights, or a "scatter". What is imitated is always the network without noise
            and erasing; `reconstruct.target` says which weights are learnt.
        reconstruct: table.
        contrast: table.
        keep: step that the space is taken from: "best", by the loss on validation instances; or "last", where these say
            little: further starting points go on learning when the encoder no longer does.
        validate_every: steps between validations.
        checkpoint_every: steps between checkpoints.
    """

    objective: Literal["imitate", "reconstruct", "both"] = "imitate"
    steps: Steps = 1000
    instances: Some = 8
    images: Some = 128
    image_views: int = Field(0, ge=0, le=MOST_PARTS)
    optimizer: Literal["adam", "muon"] = "adam"
    lr: PositiveFloat = 1e-3
    warmup: int = Field(50, ge=0, le=MOST_STEPS)
    schedule: Literal["cosine", "constant"] = "cosine"
    clip: float = Field(1.0, ge=0)
    temperature: PositiveFloat = 4.0
    alpha: float = Field(0.9, ge=0, le=1)
    interpolation: float = Field(1.0, ge=0)
    self_imitation: float = Field(0.0, ge=0)
    level: float = Field(1.0, ge=0)
    level_loss: LevelLoss = "matched"
    near_surface_share: float = Field(0.5, ge=0, le=1)
    stretch: float = Field(1.0, ge=1)
    untrained_lr_factor: PositiveFloat = 5.0
    shuffle: bool = True
    noise: float = Field(0.0, ge=0)
    multiplicative_noise: float = Field(0.0, ge=0)
    erase: float = Field(0.0, ge=0, lt=1)
    erase_kind: Literal["block", "scatter"] = "block"
    reconstruct: ReconstructRecipe = ReconstructRecipe()
    contrast: ContrastRecipe = ContrastRecipe()
    keep: Literal["best", "last"] = "best"
    validate_every: Steps = 100
    checkpoint_every: Steps = 100

    @property
    def augmentations(self) -> Augmentations:
        """Changes to networks before the encoder sees them."""
        return Augmentations(self.shuffle, self.noise, self.multiplicative_noise, self.erase, self.erase_kind)

    @property
    def structure(self) -> float:
        """Share of weights in the loss."""
        return {"imitate": 0.0, "reconstruct": 1.0, "both": self.reconstruct.beta}[self.objective]


class RefineRecipe(Section):
    """`[refine]`: how embeddings are refined.

    Attributes:
        method: "adam", with a rate that falls as a cosine; or "gauss-newton", for neural fields and decoders that write
            along directions.
        steps: steps by default.
        images: images, or points, a step.
        lr: first learning rate of Adam.
        lr_end: last learning rate of Adam.
        temperature: temperature at which a classifier's own answers are imitated; by default that of training.
        damping: damping of Gauss-Newton.
    """

    method: Literal["adam", "gauss-newton"] = "adam"
    steps: int = Field(100, ge=0, le=MOST_STEPS)
    images: Some = 128
    lr: PositiveFloat = 0.02
    lr_end: PositiveFloat = 0.001
    temperature: PositiveFloat | None = None
    damping: PositiveFloat = DAMPING

    def adam_schedule(self, steps: int | None = None) -> AdamSchedule:
        """Adam's schedule for this many steps."""
        return AdamSchedule(self.steps if steps is None else steps, self.images, self.lr, self.lr_end)


class LsoRecipe(Section):
    """`[lso]`: how embeddings are optimised by Adam.

    Attributes:
        steps: steps by default.
        images: images, or points, a step.
        lr: highest learning rate.
        rates: learning rates of single architectures.
    """

    steps: Steps = 200
    images: Some = 128
    lr: PositiveFloat = 0.01
    rates: dict[str, PositiveFloat] = {}

    def rate(self, arch: str) -> float:
        """Learning rate for an architecture."""
        return self.rates.get(arch, self.lr)


class Recipe(Section):
    """A whole recipe. Unknown keys are refused.

    Attributes:
        backbone: settings of a backbone; its kind is a name in the registry of backbones.
    """

    space: SpaceRecipe = SpaceRecipe()
    backbone: Annotated[
        SerializeAsAny[InstanceOf[BackboneSettings]], BeforeValidator(lambda table: backbone_from(table))
    ] = Field(default_factory=lambda: backbone_from({}))
    train: TrainRecipe = TrainRecipe()
    refine: RefineRecipe = RefineRecipe()
    lso: LsoRecipe = LsoRecipe()

    @property
    def refine_temperature(self) -> float:
        """Temperature of refining: its own, else that of training."""
        return self.refine.temperature or self.train.temperature

    def values(self) -> dict[str, Any]:
        """All values as JSON, by the key that sets each: "backbone.reader.probes"."""
        values: dict[str, Any] = {}
        for name, table in self.model_dump(mode="json").items():
            own = flattened(table) if name in WITH_TABLES else table
            values |= {f"{name}.{key}": value for key, value in own.items()}
        return values

    def named(self, output: Path) -> Recipe:
        """The recipe with a name: its own, else that of the space's file without extension."""
        if self.space.name is not None:
            return self
        return self.model_copy(update={"space": self.space.model_copy(update={"name": output.stem})})


def backbone_from(table: Any) -> BackboneSettings:
    """Build backbone settings from the table `[backbone]`, by its `kind`.

    Raises:
        ValidationError: its places are those of the section.
    """
    if isinstance(table, BackboneSettings):
        return table
    if isinstance(table, dict) and "kind" not in table:
        table = {"kind": DEFAULT, **table}
    return _adapter(tuple(BACKBONES.values())).validate_python(table)


@lru_cache(maxsize=4)
def _adapter(kinds: tuple[type[BackboneSettings], ...]) -> TypeAdapter[BackboneSettings]:
    """Adapter for one of these kinds, by its `kind`."""
    union: Any = Annotated[reduce(or_, kinds), Field(discriminator="kind")] if len(kinds) > 1 else kinds[0]
    return TypeAdapter(union)


def key_names(section: type) -> list[str]:
    """Names of the keys of a section, or of a backbone's settings, in their order."""
    if is_dataclass(section):
        return [each.name for each in fields(section)]
    assert issubclass(section, BaseModel)
    return list(section.model_fields)


def flattened(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested tables into one with dotted keys."""
    values: dict[str, Any] = {}
    for key, value in table.items():
        values |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return values


def check_method(recipe: Recipe, kind: Kind) -> None:
    """Refuse a refining method that does not fit the data.

    Raises:
        ConfigError: Gauss-Newton for classifiers, or for a decoder without directions.
    """
    if recipe.refine.method == "gauss-newton":
        check_solvable(recipe, kind, "refine.method = 'gauss-newton'")


def check_solvable(recipe: Recipe, kind: Kind, asked: str) -> None:
    """Refuse Gauss-Newton if it does not fit the networks or the decoder.

    Args:
        asked: what asks for it, for the message.
    Raises:
        ConfigError: classifiers, or a decoder without directions.
    """
    if not kind.solvable:
        raise ConfigError(f"{asked} is for neural fields, and these are {kind.name}.", "Leave it at 'adam'.")
    if not recipe.backbone.solvable:
        raise ConfigError(
            f"{asked} needs a decoder that writes along directions; this one is of "
            f"{recipe.backbone.describe_decoder()}.",
            "Set backbone.direct.kind to 'learnt' or 'curvature' and leave backbone.direct.gain at 1, or leave the "
            "method at 'adam'.",
        )
