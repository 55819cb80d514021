"""Recipes: all settings of a space's training, read from TOML, checked whole before work starts."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from netspace_models.backbones.registry import BACKBONES, DEFAULT
from netspace_models.backbones.settings import BackboneSettings
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
    PositiveInt,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
)

from netspace_cli.core.kinds.kind import Kind
from netspace_cli.core.runtime.minimise import AdamSchedule

# What pydantic calls a key that a section does not have, of models and of dataclasses.
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
# Older keys of `[train]` and those of today. Those of `[backbone]` are its settings' to know.
_TRAIN_KEYS = {"own": "self_imitation", "near": "near_surface_share", "fresh": "untrained_lr_factor"}
_NO_TABLE = ("dataclass_type", "model_type")
# The sections that have tables of their own.
WITH_TABLES = ("backbone", "train")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SpaceRecipe(_Section):
    """What the space is to be.

    Attributes:
        name: how people call it; None for that of the file it is written to.
        unseen: architectures of the space that no training instance has; only interpolation draws them.
        start: each decoder's starting point, "best" (the training instance with the best validation
            accuracy) or "random".
        starts: starting points of each decoder. From the first one an embedding decodes to a network that imitates its
            own; from every other one to a network as good, with mistakes of its own.
        parents: how many training instances each further starting point is recombined from; None for 2 where there are
            convolutions, else 4.
    """

    name: str | None = Field(None, min_length=1)
    unseen: tuple[str, ...] = ()
    start: Literal["best", "random"] = "best"
    starts: PositiveInt = 1
    parents: PositiveInt | None = None


class ReconstructRecipe(_Section):
    """`[train.reconstruct]`: how weights are learnt, where the objective is not to imitate alone.

    Attributes:
        layer_normalisation: whether errors are divided by their layer's standard deviation over the training instances
            (layer-wise loss normalisation).
        target: the weights to give: those of the "view" that the encoder is shown, as published, or of the "instance",
            in the order of hidden units that the zoo has.
        beta: of the objective "both", the share of weights; that of behaviour is 1 - beta.
    """

    layer_normalisation: bool = True
    target: Literal["view", "instance"] = "view"
    beta: float = Field(0.1, ge=0, le=1)


class ContrastRecipe(_Section):
    """`[train.contrast]`: two views of each network are to have like embeddings, those of others unlike ones.

    Attributes:
        gamma: the term's share of the loss, 0 for none; that of all else is 1 - gamma.
        temperature: of its cross entropy.
        width: of the head that embeddings are contrasted behind; the space does not keep it.
    """

    gamma: float = Field(0.0, ge=0, lt=1)
    temperature: PositiveFloat = 0.1
    width: PositiveInt = 128


class TrainRecipe(_Section):
    """How it is trained.

    Attributes:
        objective: "imitate" for what networks compute (eq. 1-12), "reconstruct" for their weights, "both" for the two
            beside each other.
        steps: steps of the optimiser.
        instances: networks a step, of each architecture.
        images: images, or points, a step.
        lr, warmup, schedule: Adam's highest rate, steps to reach it, what follows.
        clip: largest norm of the gradient, 0 for none.
        temperature, alpha, interpolation: of the losses (eq. 1-12); where networks are neural fields, interpolation is
            the weight of what stands between two of them.
        self_imitation: of several architectures, the weight of each network's own answers beside the teacher's; 0 as
            published, where all networks of an architecture come out nearly the same.
        near_surface_share: where networks are shapes, the share of a step's points near the surface of each instance.
        level: weight of networks decoded from further starting points (`space.starts`), which move by
            `untrained_lr_factor`.
        level_loss: what these learn: "matched" for the same mean log-probability of the labels as the network that was
            encoded has, or "labels" for the labels themselves.
        stretch: where networks are shapes, stretch each along each axis by up to this factor, another one each time,
            and shift it, as far as its surface stays in the box; 1 for none.
        untrained_lr_factor: decoder biases that start untrained (an unseen architecture, a random start) move this
            many times as far as lr, in the network's own weights: Adam on a network without batch norms is best at
            several times the rate that suits the rest.
        shuffle: reorder the hidden units of each input at random, a new order each time.
        noise: add noise to each input's weights, this share of their layer's deviation.
        multiplicative_noise: multiply them by 1 and this much noise.
        erase: share of them that is set to zero; erase_kind: in one "block", or a "scatter". What is imitated is always
            the network without noise and erasing; whose weights are learnt, says `reconstruct.target`.
        reconstruct, contrast: tables.
        validate_every, checkpoint_every: steps.
    """

    objective: Literal["imitate", "reconstruct", "both"] = "imitate"
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
    validate_every: PositiveInt = 100
    checkpoint_every: PositiveInt = 100

    @property
    def augmentations(self) -> Augmentations:
        """What is done to networks before the encoder sees them."""
        return Augmentations(self.shuffle, self.noise, self.multiplicative_noise, self.erase, self.erase_kind)

    @property
    def structure(self) -> float:
        """The share of weights in the loss."""
        return {"imitate": 0.0, "reconstruct": 1.0, "both": self.reconstruct.beta}[self.objective]


class RefineRecipe(_Section):
    """How embeddings are refined.

    Attributes:
        method: "adam" on the embedding, the rate falling as a cosine; or "gauss-newton", for neural fields
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

    def adam_schedule(self, steps: int | None = None) -> AdamSchedule:
        """Adam's part, of so many steps."""
        return AdamSchedule(self.steps if steps is None else steps, self.images, self.lr, self.lr_end)


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
    """All of it. Unknown keys are refused; `recipe_from` says which, in words.

    Attributes:
        backbone: of the kind that the registry of backbones has under its name.
    """

    space: SpaceRecipe = SpaceRecipe()
    backbone: Annotated[
        SerializeAsAny[InstanceOf[BackboneSettings]], BeforeValidator(lambda table: _backbone_from(table))
    ] = Field(default_factory=lambda: _backbone_from({}))
    train: TrainRecipe = TrainRecipe()
    refine: RefineRecipe = RefineRecipe()
    lso: LsoRecipe = LsoRecipe()

    @property
    def refine_temperature(self) -> float:
        """Of refining: its own, else that of training."""
        return self.refine.temperature or self.train.temperature

    def values(self) -> dict[str, Any]:
        """All values in JSON's terms, by the key that sets each: "backbone.reader.probes"."""
        values: dict[str, Any] = {}
        for name, table in self.model_dump(mode="json").items():
            own = _flattened(table) if name in WITH_TABLES else table
            values |= {f"{name}.{key}": value for key, value in own.items()}
        return values

    def named(self, output: Path) -> Recipe:
        """The same with a name: its own, else that of the space's file without its extension."""
        if self.space.name is not None:
            return self
        return self.model_copy(update={"space": self.space.model_copy(update={"name": output.stem})})


def load_recipe(path: Path | None, overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe and override single values of it.

    Args:
        path: a TOML file; None for the defaults.
        overrides: by "section.key" or "section.table.key", values in TOML's notation; a bare word is taken as a string.
    Raises:
        ConfigError: not TOML, an unknown key (with the nearest), or a value that does not fit.
    """
    table: dict[str, Any] = {}
    if path is not None:
        try:
            table = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as failure:
            raise ConfigError(f"{path} cannot be read as a recipe: {failure}.") from failure
    values = {key: _value(text) for key, text in (overrides or {}).items()}
    # First, as it says how other keys are read.
    if "backbone.kind" in values:
        _set(table, "backbone.kind", values.pop("backbone.kind"))
    table = translated_recipe(table)
    for key, value in values.items():
        for name, each in _translated_override(table, key, value).items():
            _set(table, name, each)
    return recipe_from(table)


def recipe_from(table: Mapping[str, Any]) -> Recipe:
    """A recipe from nested tables; keys of older recipes are read as well.

    Raises:
        ConfigError: an unknown key (with the nearest), or a value that does not fit.
    """
    table = translated_recipe(table)
    try:
        backbone = _backbone_from(table.pop("backbone", {}))
    except ValidationError as failure:
        raise ConfigError(*_explain(failure, "backbone")) from failure
    try:
        return Recipe.model_validate({**table, "backbone": backbone})
    except ValidationError as failure:
        raise ConfigError(*_explain(failure)) from failure


def translated_recipe(table: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's tables with keys of older recipes under their names of today, nothing checked or added.

    Raises:
        ConfigError: a value has both an older key and one of today.
    """
    table = {**table}
    if isinstance(table.get("backbone"), dict):
        table["backbone"] = _settings(table["backbone"]).translate(table["backbone"])
    if isinstance(table.get("train"), dict):
        table["train"] = _translated_train(table["train"])
    return table


def _translated_train(table: Mapping[str, Any]) -> dict[str, Any]:
    """`[train]` with older keys under their names of today.

    Raises:
        ConfigError: a value has both.
    """
    for old, today in _TRAIN_KEYS.items():
        if old in table and today in table:
            raise ConfigError(
                f"the recipe has train.{old} and train.{today}, which is its name today.", f"Keep train.{today} alone."
            )
    return {_TRAIN_KEYS.get(key, key): value for key, value in table.items()}


def completed_recipe(table: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded recipe as it would be recorded today: what it lacks was not there to be set, and has its default. One
    that is not understood stays as it is."""
    try:
        return recipe_from(table).model_dump(mode="json")
    except ConfigError:
        return dict(table)


def _settings(backbone: Mapping[str, Any]) -> type[BackboneSettings]:
    """Those of a backbone's kind; of one that is not known, those that no key has been renamed of."""
    kind = backbone.get("kind", DEFAULT)
    return BACKBONES.get(kind, BackboneSettings) if isinstance(kind, str) else BackboneSettings


def _backbone_from(table: Any) -> BackboneSettings:
    """Raises ValidationError, its places those of the section `backbone`."""
    if isinstance(table, BackboneSettings):
        return table
    if isinstance(table, dict) and "kind" not in table:
        table = {"kind": DEFAULT, **table}
    return _adapter(tuple(BACKBONES.values())).validate_python(table)


@lru_cache(maxsize=4)
def _adapter(kinds: tuple[type[BackboneSettings], ...]) -> TypeAdapter[BackboneSettings]:
    """Of one of these kinds, by its `kind`."""
    union: Any = Annotated[reduce(or_, kinds), Field(discriminator="kind")] if len(kinds) > 1 else kinds[0]
    return TypeAdapter(union)


def _value(text: str) -> Any:
    """In TOML's notation; a bare word is a string."""
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def _translated_override(table: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Keys of today and their values.

    Raises:
        ConfigError: a key that cannot be set.
    """
    settable = _settable_keys()
    if key in settable:
        return {key: value}
    backbone = table.get("backbone", {})
    own = _settings(backbone) if isinstance(backbone, dict) else BackboneSettings
    # What only another kind knows is refused with the recipe as a whole, which has the better words for it.
    for kind in (own, *BACKBONES.values()):
        values = _translated_key(kind, key, value)
        if values.keys() <= set(settable):
            return values
    whole = key.count(".") == 1 or (key.partition(".")[0] in WITH_TABLES and key.count(".") == 2)
    form = "" if whole else ": keys are section.key, or section.part.key"
    near = _nearest(key, settable)
    hint = f"Did you mean {near!r}?" if near else "Keys are such as train.steps; see examples/recipes."
    raise ConfigError(f"the recipe has no key {key!r}{form}.", hint)


def _translated_key(kind: type[BackboneSettings], key: str, value: Any) -> dict[str, Any]:
    """What a dotted key stands for in a kind of backbone, by keys of today; itself where that knows of no other."""
    section, _, last = key.partition(".")
    if section == "train":
        return {f"train.{_TRAIN_KEYS.get(last, last)}": value}
    if section != "backbone" or not last:
        return {key: value}
    return {f"backbone.{name}": each for name, each in _flattened(kind.translate({last: value})).items()}


def _flattened(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, by dotted keys."""
    values: dict[str, Any] = {}
    for key, value in table.items():
        values |= _flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return values


def _set(table: dict[str, Any], key: str, value: Any) -> None:
    """Raises ConfigError where a part of a dotted key is a value, not a table."""
    *sections, last = key.split(".")
    for i, name in enumerate(sections):
        # Tables may be the caller's own, so they are copied.
        section = table.get(name, {})
        if not isinstance(section, dict):
            raise ConfigError(f"{'.'.join(sections[: i + 1])} is not a section of a recipe.", "See examples/recipes.")
        table[name] = table = {**section}
    table[last] = value


def _nearest(key: str, known: Sequence[str]) -> str | None:
    """The known key that is most like `key`, by its whole or by its last word; None where none is."""
    # Of keys with the same last word those of a section come before those of a table in it, then the first.
    by_last: dict[str, str] = {}
    for each in sorted(known, key=lambda k: k.count(".")):
        by_last.setdefault(each.rpartition(".")[2], each)
    whole = difflib.get_close_matches(key, known, n=1)
    last = difflib.get_close_matches(key.rpartition(".")[2], by_last, n=1)
    return whole[0] if whole else by_last[last[0]] if last else None


def _explain(failure: ValidationError, section: str = "") -> tuple[str, str]:
    """The first fault in words, and the next step.

    Args:
        section: in which places lie, where they are not those of the whole recipe.
    """
    fault = failure.errors()[0]
    place = [str(p) for p in fault["loc"]]
    # The tag of the backbone's union is pydantic's own step in the place, not the user's.
    kind = place.pop(0) if section and place and place[0] in BACKBONES else ""
    key = ".".join([section, *place] if section else place)
    known = _known_keys()
    of_other = any(_translated_key(other, key, None).keys() <= set(known) for other in BACKBONES.values())
    if fault["type"] in _UNKNOWN and of_other:
        return f"the {kind} backbone has no {key}.", "Leave it out: it belongs to the other kind."
    if fault["type"] in _UNKNOWN:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        return (
            f"the recipe has no key {key!r}.",
            f"Did you mean {near[0]!r}?" if near else "See examples/recipes.",
        )
    # pydantic would name the class.
    reason = "input should be a table" if fault["type"] in _NO_TABLE else fault["msg"].lower()
    return (
        f"the recipe's {key} = {fault['input']!r} does not do: {reason}.",
        "See examples/recipes.",
    )


def _known_keys() -> list[str]:
    """Of sections, of tables in them, and of values."""
    keys = []
    for name, kinds in (
        ("space", [SpaceRecipe]),
        ("backbone", list(BACKBONES.values())),
        ("train", [TrainRecipe]),
        ("refine", [RefineRecipe]),
        ("lso", [LsoRecipe]),
    ):
        keys += [name, *(f"{name}.{key}" for kind in kinds for key in _keys_of(kind))]
    return list(dict.fromkeys(keys))


def _keys_of(section: type) -> list[str]:
    types, keys = get_type_hints(section), []
    # Of sections, and of backbones' settings, which are plain dataclasses.
    own = [each.name for each in fields(section)] if is_dataclass(section) else list(section.model_fields)  # type: ignore[attr-defined]
    for name in own:
        keys.append(name)
        if is_dataclass(types[name]) or (isinstance(types[name], type) and issubclass(types[name], _Section)):
            keys += [f"{name}.{key}" for key in _keys_of(types[name])]
    return keys


def _settable_keys() -> list[str]:
    """Of values."""
    known = _known_keys()
    return [key for key in known if "." in key and not any(other.startswith(f"{key}.") for other in known)]


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
        raise ConfigError(f"{asked} is for neural fields, and these are classifiers.", "Leave it at 'adam'.")
    if not recipe.backbone.solvable:
        raise ConfigError(
            f"{asked} needs a decoder that writes along directions; this one is of "
            f"{recipe.backbone.describe_decoder()}.",
            "Set backbone.direct.kind to 'learnt' or 'curvature' and leave backbone.direct.gain at 1, or leave the "
            "method at 'adam'.",
        )
