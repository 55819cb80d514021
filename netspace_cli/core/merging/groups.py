"""A zoo whose instances differ in seeds: those that differ in nothing else become one network, group by group."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.files.outputs import check_folder
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Workers, spread_and_keep
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.finished import finished_instance, read_finished, write_finished
from netspace_cli.core.zoos.listing import append_instance
from netspace_cli.core.zoos.tuned_zoo import FROM, SCORES
from netspace_cli.core.zoos.zoo import Instance, Zoo, create_zoo, open_zoo, write_instance

from .merge import Merged, merge
from .plan import ENSEMBLE, MergePlan

# What tells runs of one kind apart, beside the seed.
OWN = ("run", "aligned_from", "aligned_to", FROM, SCORES)


@dataclass(frozen=True)
class Group:
    """Instances that differ in their seed alone.

    Attributes:
        id: of the network that they become.
        instances: at least two.
    """

    id: str
    instances: tuple[Instance, ...]


@dataclass(frozen=True)
class MergeInputs:
    """What merging the groups of a zoo needs, as worker processes open it.

    Attributes:
        zoo: whose instances are merged; data: to merge on; space: None for none.
    """

    zoo: Zoo
    data: LabelledData
    space: Space | None

    @cached_property
    def architectures(self) -> dict[str, Architecture]:
        """The zoo's architectures by name."""
        return {each.name: each for each in self.zoo.architectures()}

    def space_of(self, arch: str) -> Space | None:
        """The space, if it has an architecture."""
        known = self.space is not None and arch in (each.name for each in self.space.architectures)
        return self.space if known else None


def groups_of(zoo: Zoo) -> tuple[Group, ...]:
    """The groups of a zoo, in the order of their first instances; what is alone is left out.

    Raises:
        ConfigError: no two instances differ in their seed alone.
    """
    found: dict[str, list[Instance]] = {}
    for instance in zoo.instances:
        kind = [instance.arch, instance.epochs, _shared(instance.training)]
        found.setdefault(json.dumps(kind, sort_keys=True), []).append(instance)
    groups = [group for group in found.values() if len(group) > 1]
    if not groups:
        raise ConfigError(
            f"no two of the {len(zoo.instances)} instances of {zoo.path} differ in their seed alone.",
            f"Merge all of them into one: leave out {setting('groups')}.",
        )
    return tuple(Group(f"{group[0].arch.replace(':', '-')}-{n:04d}", tuple(group)) for n, group in enumerate(groups))


def _shared(training: dict[str, Any]) -> dict[str, Any]:
    """How an instance was trained, and what it began from, without what is its own."""
    return {k: _shared(v) if isinstance(v, dict) else v for k, v in training.items() if k not in OWN}


def groups_left(zoo: Zoo, path: Path, plan: MergePlan, seed: int) -> list[Group]:
    """The groups that are not merged yet, before anything is made.

    Args:
        zoo, path, plan: as for `merge_groups`.
        seed: the runner's.
    Raises:
        ConfigError: as `merge_groups`.
    """
    groups = groups_of(zoo)
    if path.exists() and path.samefile(zoo.path):
        raise ConfigError(f"{path} is the zoo that is to be merged.", "Choose another folder for the result.")
    if not (path / "zoo.json").is_file():
        check_folder(path)
        return list(groups)
    done = {i.id: i for i in create_zoo(path, zoo.data, {}).instances}
    for group in groups:
        there, wanted = done.get(group.id) or _finished(path, group), _provenance(group, plan, seed)
        if there is not None and any(_recorded(there).get(k) != v for k, v in wanted.items()):
            raise ConfigError(
                f"{path} has {group.id} already, merged from other instances or by other settings.",
                "Go on with the settings it was begun with, or choose another folder.",
            )
    return [group for group in groups if group.id not in done]


def merge_groups(
    zoo: Zoo,
    path: Path | str,
    data: LabelledData,
    runner: Runner,
    *,
    space: Space | None = None,
    plan: MergePlan | None = None,
    workers: Workers[MergeInputs] | None = None,
) -> tuple[Instance, ...]:
    """Merge the instances of a zoo that differ in their seed alone into a zoo of one network a group. Begun again, it
    goes on.

    Args:
        zoo: whose instances are merged; it stays as it is.
        path: the new zoo's folder. Of each instance `training` has `merged_by`, the way; `merged_from`, the digests of
            the members' files; `merge_plan` and `merge_seed`; and the test accuracies of the `best` member and of the
            `ensemble`, where labels are known.
        data, space, plan: as in `merge`; a budget is that of each group, and a space counts for the groups of its
            architectures.
        workers: processes that open this zoo, these data and this space; None for this process alone.
    Returns:
        All instances of the new zoo.
    Raises:
        ConfigError: no groups, members that cannot be merged, or a folder that holds something else.
    """
    path = Path(path)
    plan = plan or MergePlan()
    left = groups_left(zoo, path, plan, runner.seed)
    create_zoo(path, zoo.data, zoo.about)
    there = {place: done for place, group in enumerate(left) if (done := _finished(path, group)) is not None}
    work, keep = partial(_merged, path=path, plan=plan), partial(append_instance, path)
    inputs = MergeInputs(zoo, data, space)
    with (
        runner.progress("merging groups", len(left), len(there)) as tick,
        closing(spread_and_keep(work, left, there, keep, inputs, runner, workers)) as finished,
    ):
        for place, _ in finished:
            if place not in there:
                runner.count(1, "networks")
                tick(1)
    return open_zoo(path).instances


def _merged(group: Group, inputs: MergeInputs, runner: Runner, *, path: Path, plan: MergePlan) -> Instance:
    """Merge a group, and write what it became."""
    arch = group.instances[0].arch
    members = [inputs.zoo.network(instance, inputs.architectures[arch]) for instance in group.instances]
    found = merge(members, inputs.data, runner, space=inputs.space_of(arch), plan=plan)
    return _write(path, group, found, _provenance(group, plan, runner.seed))


def _finished(path: Path, group: Group) -> Instance | None:
    """What an earlier command has made of a group, though it may not have been listed yet."""
    told = read_finished(path, group.id)
    return None if told is None else finished_instance(path, group.id, told)


def _provenance(group: Group, plan: MergePlan, seed: int) -> dict[str, Any]:
    """All that a merged network is a function of, but for the images."""
    digests = [instance.sha256 for instance in group.instances]
    return {"merged_from": digests, "merge_plan": asdict(plan), "merge_seed": seed}


def _recorded(instance: Instance) -> dict[str, Any]:
    """What a merged network says of itself; of before a plan had all its settings, with their only values then."""
    training = instance.training
    return {**training, "merge_plan": {"labels": True, "weigh": False, **training.get("merge_plan", {})}}


def _write(path: Path, group: Group, found: Merged, provenance: dict[str, Any]) -> Instance:
    first, network = group.instances[0], found.network
    state = network.architecture.to_state(network.weights, network.form)
    file = write_instance(path, group.id, first.arch, state, _licence(group.instances))
    way = found.way(found.method)
    scores = {} if way is None else {"val": way.scores.validation, "test": way.scores.test}
    beside = {name: each.scores.test for name in ("best", ENSEMBLE) if (each := found.way(name)) is not None}
    instance = Instance(
        group.id,
        first.arch,
        "train",
        file,
        sha256_of(path / file),
        epochs=first.epochs,
        accuracy={split: value for split, value in scores.items() if value is not None},
        licence=_licence(group.instances),
        training={"merged_by": found.method, **provenance, **{k: v for k, v in beside.items() if v is not None}},
    )
    write_finished(path, group.id, {}, instance)
    return instance


def _licence(instances: Sequence[Instance]) -> str:
    """That of all, or the licences that they have."""
    return ", ".join(dict.fromkeys(instance.licence for instance in instances))
