"""Align the hidden units of a zoo's networks: same functions, comparable weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError
from netspace_models.parameters.alignment import align_weights
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.records import differences
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.files.outputs import check_folder
from netspace_cli.core.runtime.runner import Runner

from .export import find_instance
from .listing import append_instance
from .zoo import Instance, Zoo, create_zoo, open_zoo, write_instance

# Networks whose results are kept together.
AT_ONCE = 16


@dataclass(frozen=True)
class AlignPlan:
    """Settings of an alignment.

    Attributes:
        references: ids of instances, at most one of each architecture; elsewhere the best training instance by
            validation accuracy, or the first where none has one.
        tries: how often the search for an order begins, see `align_weights`.
    """

    references: tuple[str, ...] = ()
    tries: int = 1


@dataclass(frozen=True)
class Aligned:
    """Distances between aligned instances of one architecture, in flat weights with folded batch norms.

    Attributes:
        arch: the architecture.
        reference: the instance that all others are aligned to.
        instances: how many there are, the reference among them.
        before, after: mean distance of the others to the reference; None where there are no others.
        nearest_before, nearest_after: mean distance of each to the nearest of all others.
    """

    arch: str
    reference: str
    instances: int
    before: float | None
    after: float | None
    nearest_before: float | None
    nearest_after: float | None


def references_of(zoo: Zoo, plan: AlignPlan) -> dict[str, Instance]:
    """The reference instance of each architecture.

    Raises:
        ConfigError: an empty zoo, no such instance, or two of one architecture.
    """
    if not zoo.instances:
        raise ConfigError(f"{zoo.path} has no instances.", "Train some with `netspace zoo train`, or index a folder.")
    chosen: dict[str, Instance] = {}
    for asked in plan.references:
        instance = find_instance(zoo, asked)
        if instance.arch in chosen:
            raise ConfigError(
                f"two references of one architecture: {chosen[instance.arch].id} and {asked} are both {instance.arch}.",
                f"Give at most one for each of {', '.join(dict.fromkeys(i.arch for i in zoo.instances))}.",
            )
        chosen[instance.arch] = instance
    for arch in dict.fromkeys(i.arch for i in zoo.instances):
        candidates = zoo.select(split="train", arch=arch) or zoo.select(arch=arch)
        chosen.setdefault(arch, max(candidates, key=lambda i: i.accuracy.get("val", -1.0)))
    return chosen


def left_to_align(zoo: Zoo, path: Path, plan: AlignPlan, seed: int) -> list[Instance]:
    """Instances that are not in the aligned zoo yet; nothing is made.

    Args:
        zoo, path, plan: as for `align_zoo`.
        seed: the runner's.
    Raises:
        ConfigError: as `align_zoo`.
    """
    if plan.tries < 1:
        raise ConfigError(f"cannot align with {plan.tries} tries.", f"Give at least one: {setting('tries', 1)}.")
    references = references_of(zoo, plan)
    for architecture in zoo.architectures():
        if not architecture.hidden_groups:
            raise ConfigError(
                f"{architecture.name} cannot be aligned: its hidden units are not known, as "
                f"{architecture.why_no_groups}.",
                "Give its module a method hidden_groups(), or align a zoo without it.",
            )
    if path.exists() and path.samefile(zoo.path):
        raise ConfigError(f"{path} is the zoo that is to be aligned.", "Choose another folder for the result.")
    if not (path / "zoo.json").is_file():
        check_folder(path)
        return list(zoo.instances)
    done = {i.id: i for i in create_zoo(path, zoo.data, {}).instances}
    for instance in zoo.instances:
        there, wanted = done.get(instance.id), _provenance(instance, references, plan, seed)
        found = {k: there.training.get(k) for k in wanted} if there else wanted
        if found != wanted:
            raise ConfigError(
                f"{path} has {instance.id} already, aligned otherwise: {'; '.join(differences(found, wanted))}.",
                "Use the settings that it was started with, or choose another folder.",
            )
    return [i for i in zoo.instances if i.id not in done]


def align_zoo(zoo: Zoo, path: Path | str, plan: AlignPlan, runner: Runner) -> tuple[Aligned, ...]:
    """Write a zoo of the same functions with hidden units aligned to a reference.

    Weights alone are compared, no data are used, so instances of all splits are aligned. Batch norms are written
    so that they change nothing: what they did is in the layers before them. Run again, it continues.

    Args:
        zoo: what to align; it stays as it is.
        path: the new zoo's folder. Splits, accuracies and what is known of the training are the same; `training`
            also has `aligned_to` (the reference's id), `aligned_from` (SHA-256 of the file), `align_tries` and
            `align_seed`.
        plan: references and tries.
        runner: its seed draws the order of the search.
    Returns:
        Distances, for each architecture.
    Raises:
        ConfigError: no such reference, two of one architecture, an architecture whose hidden units are not known,
            or a folder that holds something else.
        InputFileError: an instance's file is missing or changed.
    """
    path = Path(path)
    todo = {i.id for i in left_to_align(zoo, path, plan, runner.seed)}
    references = references_of(zoo, plan)
    create_zoo(path, zoo.data, zoo.about)
    rows = []
    with runner.progress("aligning", len(todo)) as tick:
        for architecture in zoo.architectures():
            own, reference = zoo.select(arch=architecture.name), references[architecture.name]
            networks = [zoo.network(instance, architecture) for instance in own]
            before = torch.stack([network.weights for network in networks])
            left = [n for n, instance in enumerate(own) if instance.id in todo]
            for start in range(0, len(left), AT_ONCE):
                part = left[start : start + AT_ONCE]
                # The same stream for each part: what becomes of a network does not depend on the others.
                generator = runner.generator("align", architecture.name)
                towards = before[own.index(reference)]
                aligned = align_weights(architecture, towards, before[part], generator, tries=plan.tries)
                for n, weights in zip(part, aligned, strict=True):
                    state = architecture.to_state(weights, networks[n].form)
                    provenance = _provenance(own[n], references, plan, runner.seed)
                    append_instance(path, _write(path, own[n], state, provenance))
                    tick(1)
                runner.count(len(part), "instances")
            rows.append(_distances(open_zoo(path), own, architecture, reference, before))
    return tuple(rows)


def _provenance(instance: Instance, references: Mapping[str, Instance], plan: AlignPlan, seed: int) -> dict[str, Any]:
    """Everything that an aligned instance depends on."""
    return {
        "aligned_to": references[instance.arch].id,
        "aligned_from": instance.sha256,
        "align_tries": plan.tries,
        "align_seed": seed,
    }


def _write(path: Path, instance: Instance, state: Mapping[str, Tensor], provenance: dict[str, Any]) -> Instance:
    file = write_instance(path, instance.id, instance.arch, state, instance.licence)
    # The key named where an adopted checkpoint had its parameters; this file has nothing else.
    training = {k: v for k, v in instance.training.items() if k != "key"}
    return replace(instance, file=file, sha256=sha256_of(path / file), training={**training, **provenance})


def _distances(
    zoo: Zoo, own: Sequence[Instance], architecture: Architecture, reference: Instance, before: Tensor
) -> Aligned:
    by_id = {i.id: i for i in zoo.instances}
    after = torch.stack(zoo.weights([by_id[i.id] for i in own], architecture))
    place = own.index(reference)
    distances = [torch.cdist(each, each, compute_mode="donot_use_mm_for_euclid_dist") for each in (before, after)]
    means: list[float | None] = [None] * 4
    if len(own) > 1:
        others = torch.arange(len(own)) != place
        to_reference = [float(each[place][others].mean()) for each in distances]
        nearest = [float(each.fill_diagonal_(torch.inf).amin(dim=1).mean()) for each in distances]
        means = [*to_reference, *nearest]
    return Aligned(architecture.name, reference.id, len(own), *means)
