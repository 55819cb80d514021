"""Merging, as a person asks for it: which networks, on which images, into which architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from netspace_models.architectures import Architecture, ImageIO
from netspace_models.errors import ConfigError, Interrupted, UnknownArchitecture
from netspace_models.wording import renamed, setting

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.data.images import images_or_none
from netspace_cli.core.data.normalise import AS_IT_IS, Normalisation, is_alike, scale_recorded
from netspace_cli.core.files.checkpoint import check_checkpoint_suffix
from netspace_cli.core.files.checkpoint_files import find_checkpoints
from netspace_cli.core.files.figures import check_figure
from netspace_cli.core.files.outputs import check_no_input, check_output
from netspace_cli.core.kinds.kind import Kind
from netspace_cli.core.kinds.registry import kind_of
from netspace_cli.core.merging.merge import Merged, check_merging, merge, target_of
from netspace_cli.core.merging.merge_figure import plot_merged
from netspace_cli.core.merging.own_space import LEAST_LEFT, NAME, check_members_of, share_of, space_of
from netspace_cli.core.merging.plan import ON_SPACE, MergePlan
from netspace_cli.core.merging.ways import Way
from netspace_cli.core.networks.decide import deciding_by
from netspace_cli.core.networks.factories import resolve_architecture
from netspace_cli.core.networks.network import Network, check_teacher, write_network
from netspace_cli.core.networks.recorded_accuracy import compare_recorded
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.stop import StopRequest
from netspace_cli.core.sampling.together import check_ensemble, select_members
from netspace_cli.core.spaces.built_in import built_in_by_starts
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.zoos.normalisation_hint import NETWORKS, held_out_hint, normalisation_hint
from netspace_cli.core.zoos.zoo import Zoo, open_zoo

from .choose_data import recorded
from .inputs import is_one_of
from .merge_images import Sources, check_no_fields
from .reader import CheckpointReader


@dataclass(frozen=True)
class MergeRequest:
    """What is asked for.

    Attributes:
        inputs: checkpoints, folders of them, zoos.
        output: of the merged network; plot: of a figure; force: replace them.
        data: images as in `load_data`, or a .npz file of images alone; None for those of the zoo or the space.
        arch: of the result; None for `target_of`.
        member_archs: names or factories that members may be, beside the built-in ones.
        select: how many of each zoo, the most accurate on validation images; None for all.
        space: a name or a path; "auto" for one that is made on the members; None for a built-in one that has the
            architectures, if there is one.
        key: where in a nested checkpoint the parameters are.
        normalisation: of the images that checkpoints were trained on; as usual where it says nothing.
        plan: how to merge.
    """

    inputs: tuple[Path, ...]
    output: Path | None = None
    plot: Path | None = None
    data: str | None = None
    arch: str | None = None
    member_archs: tuple[str, ...] = ()
    select: int | None = None
    space: str | None = None
    key: str | None = None
    force: bool = False
    normalisation: Normalisation = AS_IT_IS
    plan: MergePlan = field(default_factory=MergePlan)

    def prepare(self, runner: Runner) -> MergeTask:
        """Open what is needed and refuse what cannot be done, before any work but that of choosing from a zoo.

        Args:
            runner: runs a zoo's instances where they are to be chosen and their accuracies are not known.
        Raises:
            ConfigError, OutputExists, WrongSpace, DataUnavailable, InputFileError: say what and why.
        """
        self.plan.check()
        self.normalisation.check()
        check_no_input([self.output, self.plot], [*self.inputs, self.space, self.data])
        if self.plot is not None:
            check_figure(self.plot)
            check_output(self.plot, force=self.force)
        if self.output is not None:
            check_checkpoint_suffix(self.output)
            check_output(self.output, force=self.force)
        zoos, files = self._sources()
        check_no_input([self.output, self.plot], [*files, *(zoo.file_of(i) for zoo in zoos for i in zoo.instances)])
        space = None if self.space is None or self.space == NAME else load_space(self.space)
        sources = Sources(zoos, files, space, self._names, self.key)
        data = sources.images(self.data, self.normalisation)
        members = self._members(zoos, files, data, space, runner)
        architecture, space = self._target(members, data, space)
        plan = self.plan
        if self.space == NAME:
            check_members_of(members, architecture)
            plan = replace(plan, method=None if plan.method in ON_SPACE else plan.method)
        check_merging(members, data, architecture, space, plan)
        return MergeTask(self, tuple(members), data, architecture, space, tuple(zoos), len(files), sources.record)

    def _sources(self) -> tuple[list[Zoo], list[Path]]:
        """Zoos, and checkpoints in the order in which they were named."""
        zoos: list[Zoo] = []
        files: list[Path] = []
        for path in self.inputs:
            if path.is_dir() and (path / "zoo.json").is_file():
                zoos.append(open_zoo(path))
            elif path.is_dir():
                found, _ = find_checkpoints(path)
                if not found:
                    raise ConfigError(f"{path} holds no checkpoint files.", "Name a folder that has some, or a zoo.")
                files += found
            else:
                files.append(path)
        if self.select is not None and not zoos:
            raise ConfigError(
                f"{setting('select', f'top:{self.select}')} chooses from a zoo, and none is given.",
                "Leave it out, or make a zoo of the files with `netspace zoo index`.",
            )
        return zoos, files

    @property
    def _names(self) -> list[str]:
        """Architectures that are named."""
        return list(dict.fromkeys([*self.member_archs, *([] if self.arch is None else [self.arch])]))

    def _members(
        self, zoos: Sequence[Zoo], files: Sequence[Path], data: LabelledData, space: Space | None, runner: Runner
    ) -> list[Network]:
        if self.select is not None and not data.labelled:
            raise ConfigError(
                f"{setting('select', f'top:{self.select}')} goes by accuracy, and these images have no labels.",
                "Leave it out, or give images with labels.",
            )
        members = []
        for zoo in zoos:
            check_ensemble(zoo, data, self.select)
            known = {a.name: a for a in zoo.architectures()}
            chosen, _ = select_members(zoo, runner.place(data), runner, self.select)
            members += [zoo.network(instance, known[instance.arch]) for instance in chosen]
        candidates = [resolve_architecture(name, data.io) for name in self._names]
        candidates += [] if space is None else space.architectures
        with deciding_by(data), renamed(arch="member_arch"):
            return members + [_read_member(path, data, candidates, self.key) for path in files]

    def _target(
        self, members: Sequence[Network], data: LabelledData, space: Space | None
    ) -> tuple[Architecture, Space | None]:
        """The architecture of the result, and the space to go through."""
        wanted = None if self.arch is None else resolve_architecture(self.arch, data.io)
        if self.space is None and self.plan.method in (None, *ON_SPACE):
            own = [wanted] if wanted is not None else [m.architecture for m in members]
            space = _built_in_space(own, members, data)
        return wanted or target_of(members, space), space


@dataclass(frozen=True)
class MergeTask:
    """A merge that can begin.

    Attributes:
        request: what was asked for.
        members, data: opened.
        architecture: of the result; space: to go through, None for none.
        zoos: that the first of the members are from.
        files: how many of them, the last ones, are checkpoints, which do not say how images were normalised.
        recorded: the record of the data of a zoo or a named space; None for neither.
    """

    request: MergeRequest
    members: tuple[Network, ...]
    data: LabelledData
    architecture: Architecture
    space: Space | None
    zoos: tuple[Zoo, ...]
    files: int
    recorded: Mapping[str, Any] | None

    @property
    def kind(self) -> Kind:
        """Kind of the networks."""
        return kind_of(self.data.io, {})

    @property
    def labelled(self) -> bool:
        """Whether labels are used."""
        return self.data.labelled and self.request.plan.labels

    def hints(self, runner: Runner) -> list[str]:
        """Remarks on images that may not be those that members were trained with."""
        found = [self._whose_images(), self._which_architecture()]
        images, held_out = images_or_none(self.data), held_out_hint(self.data)
        # Networks of a zoo or a space were trained without what is held out of its own images.
        if held_out and (self.recorded is None or self.recorded.get("splits") != self.data.record()["splits"]):
            found.append(held_out)
        if images is not None and self.data.labelled and self.request.normalisation == AS_IT_IS:
            asked = self.members[len(self.members) - self.files :][:NETWORKS]
            found += [normalisation_hint(member, member.source, images, runner) for member in asked]
        return [hint for hint in found if hint]

    def _whose_images(self) -> str:
        """A sentence where the images are those of the first of several zoos, as none were named; else ""."""
        splits = [zoo.data.get("splits") for zoo in self.zoos]
        if self.request.data is not None or all(each == splits[0] for each in splits):
            return ""
        return f"The images are those of {self.zoos[0].path}; other zoos have others. Name all by {setting('data')}."

    def _which_architecture(self) -> str:
        """A sentence where members have several and none was named; else ""."""
        own = self.architecture
        if self.request.arch is not None or self.space is None or len({m.architecture.name for m in self.members}) < 2:
            return ""
        return (
            f"The result is a {own.name} of {own.parameter_count:,} parameters, the largest of space "
            f"{self.space.name!r}: {setting('arch')} names another."
        )

    def run(self, runner: Runner, *, on_stop: Callable[[], None] | None = None) -> Merged:
        """Merge, and write what was asked for.

        A signal while networks are distilled ends this before its time: the best so far is written, and the caller
        raises `interrupted` when the result has been shown.

        Args:
            on_stop: called once, from another thread, when such a signal comes.
        """
        asked = self.request
        space, plan, begun = self.space, asked.plan, perf_counter()
        if asked.space == NAME and plan.method in (None, *ON_SPACE):
            space = space_of(self.members, self.architecture, self.data, runner, seconds=share_of(plan.budget))
            if plan.budget is not None:
                plan = replace(plan, budget=max(plan.budget * LEAST_LEFT, plan.budget - (perf_counter() - begun)))
        where: dict[str, Any] = {"architecture": self.architecture, "space": space}
        found = merge(self.members, self.data, runner, **where, plan=plan, stop=StopRequest(on_stop))
        compare_recorded(self.members, self.data, runner, found.accuracies)
        if asked.output is not None:
            metadata = {
                "format": "pt",
                "netspace.arch": self.architecture.name,
                "netspace.merged_by": found.method,
                "netspace.merged_from": ",".join(member.sha256 for member in self.members),
            }
            write_network(asked.output, found.network, metadata=metadata, force=asked.force)
        if asked.plot is not None:
            plot_merged(asked.plot, found, force=asked.force)
        return found

    def interrupted(self, found: Merged) -> Interrupted | None:
        """The error to end with where a signal ended the work before its time."""
        if found.stopped_by is None:
            return None
        output, way = self.request.output, found.way(found.method)
        if output is None:
            kept, hint = "was not written", f"Name where the next one goes: {setting('output', 'one.pt')}."
        else:
            kept, hint = f"is in {output}", f"Replace it by another merge with {setting('force', True)}."
        taken = f" after {way.steps:,} steps" if way is not None and way.steps else ""
        message = f"merging was stopped before its end; the best so far, {found.method}{taken}, {kept}."
        return Interrupted(message, hint, exit_code=found.stopped_by)

    def record(self) -> dict[str, Any]:
        """What the outcome depends on, for a JSON document."""
        plan = self.request.plan
        return {
            "data": recorded(self.data),
            "arch": self.architecture.name,
            "space": self.request.space if self.space is None else self.space.name,
            "labelled": self.labelled,
            "lr": plan.lr,
            "alpha": plan.alpha if self.labelled else 1.0,
            "temperature": plan.temperature,
            "budget": plan.budget,
            "output": self.request.output,
            "plot": self.request.plot,
        }

    def document(self, found: Merged) -> dict[str, Any]:
        """The outcome, for JSON; what depends on the clock is in `seconds_by_way`."""
        weights = dict(zip(found.teachers, found.weights or (), strict=False))
        members = [
            {
                "path": name,
                "arch": member.architecture.name,
                "test": test,
                "teaches": place in found.teachers,
                "weight": weights.get(place),
            }
            for place, (name, member, test) in enumerate(
                zip(found.members, self.members, found.accuracies, strict=True)
            )
        ]
        return {
            **self.record(),
            "members": members,
            "method": found.method,
            "gain": found.gain,
            "ways": [_row(way) for way in found.ways],
            "left_out": found.left_out,
        }


def seconds_by_way(found: Merged) -> dict[str, float]:
    """What each way took by itself."""
    return {way.name: round(way.seconds, 3) for way in found.ways}


def _row(way: Way) -> dict[str, Any]:
    scores = way.scores
    return {
        "way": way.name,
        "steps": way.steps,
        "images": way.images,
        "lr": way.lr,
        "validation": scores.validation,
        "test": scores.test,
        "agreement": scores.agreement,
        "choice": scores.choice,
        "chosen": way.chosen,
        "note": way.note,
    }


def _read_member(path: Path, data: LabelledData, candidates: Sequence[Architecture], key: str | None) -> Network:
    """A checkpoint of an architecture for these images.

    Raises:
        ConfigError: it is for other images; says both.
        UnknownArchitecture: it fits no architecture.
    """
    # A reader of its own: the file is not kept once the network is read.
    reader = CheckpointReader(key=key)
    try:
        found = reader.network(path, candidates=candidates, io=data.io)
    except UnknownArchitecture as unknown:
        images = images_or_none(data)
        if images is None:
            raise
        # What it is for, whatever the size of its images, says best why it does not belong.
        channels, classes = reader.channels_and_classes(path) or (images.io.channels, images.io.classes)
        own = ImageIO(channels, images.io.size, classes)
        try:
            found = reader.network(path, io=None if own == data.io else own)
        except UnknownArchitecture:
            if (channels, classes) == (images.io.channels, images.io.classes):
                raise unknown from None
            raise ConfigError(
                f"the member {path} seems to be for {channels} channels and {classes} classes; these images are "
                f"{images.io.describe()}.",
                f"Give images that it was trained on: {setting('data')}. If it is an architecture of your own, name "
                f"its factory: {setting('arch', 'package.module:function')}.",
            ) from unknown
    check_no_fields(found.architecture.io, str(path))
    check_teacher(found, data.io, "member")
    return found


def _built_in_space(own: Sequence[Architecture], members: Sequence[Network], data: LabelledData) -> Space | None:
    """The built-in space that has all of these architectures and that of a member.

    None if no space has whose networks know images in these ones' normalisation.
    """
    for known in built_in_by_starts():
        has_own = all(is_one_of(known.architectures, each) for each in own)
        if has_own and any(is_one_of(known.architectures, m.architecture) for m in members):
            space = load_space(known.name)
            if is_alike(space.record["data"], scale_recorded(data)):
                return space
    return None
