"""Merging a zoo group by group, as a person asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.merging.groups import Group, MergeInputs, groups_left, groups_of, merge_groups
from netspace_cli.core.merging.own_space import NAME
from netspace_cli.core.merging.plan import ENSEMBLE, MergePlan
from netspace_cli.core.runtime.cluster import Cluster
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.sampling.together import check_ensemble
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.zoos.zoo import Instance, Zoo, open_zoo

from .choose_data import recorded
from .merge_images import Sources
from .workers import undivided_note, workers_for


@dataclass(frozen=True)
class MergeGroupsRequest:
    """What is asked for.

    Attributes:
        zoos: the one whose instances are merged.
        output: folder of the zoo of merged networks.
        data: images as in `load_data`, or a .npz file of images alone; None for the zoo's own.
        space: a name or a path; None for none.
        plan: how to merge each group.
        workers: processes that the groups are divided among; cluster: where they run, None for this machine.
    """

    zoos: tuple[Path, ...]
    output: Path | None
    data: str | None = None
    space: str | None = None
    plan: MergePlan = field(default_factory=MergePlan)
    workers: int = 1
    cluster: Cluster | None = None

    def prepare(self, runner: Runner) -> MergeGroupsTask:
        """Open what is needed and refuse what cannot be done, before any work.

        Args:
            runner: its seed is that of the merged networks.
        Raises:
            ConfigError, DataUnavailable, InputFileError: say what and why.
        """
        self.plan.check()
        if len(self.zoos) != 1 or self.output is None:
            given = f"{len(self.zoos)} inputs are given" if len(self.zoos) != 1 else "no folder is named"
            raise ConfigError(
                f"{setting('groups', 'seed')} merges the groups of one zoo into a folder; {given}.",
                f"Name one zoo and where the result goes: {setting('output', 'PATH')}.",
            )
        if self.space == NAME:
            raise ConfigError(
                f"{setting('space', NAME)} makes a space on the members of one merge, and "
                f"{setting('groups', 'seed')} is many merges.",
                "Name a space that is there, or leave it out.",
            )
        inputs = MergeSource(self.zoos[0], self.data, self.space).open()
        check_ensemble(inputs.zoo, inputs.data, None)
        left = groups_left(inputs.zoo, self.output, self.plan, runner.seed)
        return MergeGroupsTask(self, inputs.zoo, inputs.data, inputs.space, self.output, tuple(left))


@dataclass(frozen=True)
class MergeSource:
    """What worker processes open, as `MergeGroupsRequest` names it."""

    zoo: Path
    data: str | None
    space: str | None

    def open(self) -> MergeInputs:
        """Open all.

        Raises:
            ConfigError, DataUnavailable, InputFileError: as `MergeGroupsRequest.prepare`.
        """
        zoo = open_zoo(self.zoo)
        space = None if self.space is None else load_space(self.space)
        return MergeInputs(zoo, Sources([zoo], [], space).images(self.data), space)


@dataclass(frozen=True)
class MergeGroupsTask:
    """Merges that can begin.

    Attributes:
        request: what was asked for.
        zoo, data, space: opened.
        output: the folder; left: the groups that are not there yet.
    """

    request: MergeGroupsRequest
    zoo: Zoo
    data: LabelledData
    space: Space | None
    output: Path
    left: tuple[Group, ...]

    @property
    def groups(self) -> tuple[Group, ...]:
        """All groups."""
        return groups_of(self.zoo)

    def run(self, runner: Runner) -> tuple[Instance, ...]:
        """Merge what is left; returns all instances of the new zoo."""
        asked = self.request
        source = MergeSource(self.zoo.path, asked.data, asked.space)
        kept = "Finished groups are kept."
        with workers_for(source, runner, asked, len(self.left), self.output, kept=kept) as workers:
            return merge_groups(
                self.zoo, self.output, self.data, runner, space=self.space, plan=asked.plan, workers=workers
            )

    def undivided(self) -> str | None:
        """A note where workers make no difference, or None."""
        return undivided_note(self.request, len(self.left), f"There are {len(self.left)} groups to merge.")

    def record(self) -> dict[str, Any]:
        """What the outcome depends on, for a JSON document."""
        return {
            "zoo": self.zoo.path,
            "output": self.output,
            "data": recorded(self.data),
            "space": None if self.space is None else self.space.name,
        }


def rows_of(instances: Sequence[Instance]) -> list[dict[str, Any]]:
    """{id, arch, epochs, members, way, best, test, ensemble} of merged instances."""
    return [
        {
            "id": i.id,
            "arch": i.arch,
            "epochs": i.epochs,
            "members": len(i.training["merged_from"]),
            "way": i.training["merged_by"],
            "best": i.training.get("best"),
            "test": i.accuracy.get("test"),
            "ensemble": i.training.get(ENSEMBLE),
        }
        for i in instances
    ]
