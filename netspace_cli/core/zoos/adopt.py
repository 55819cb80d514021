"""Adopt a folder of checkpoints that were trained elsewhere as a zoo."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from netspace_models.errors import ConfigError, InputFileError, NotFinite
from netspace_models.wording import setting

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.files.checkpoint_files import (
    EXTENSIONS,
    describe_passed_over,
    find_checkpoints,
    without_extension,
)
from netspace_cli.core.files.outputs import check_output
from netspace_cli.core.networks.recorded_accuracy import accuracy_remark
from netspace_cli.core.networks.scores import scores
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Workers, in_order, spread

from .drawn_splits import DrawnSplits
from .found import Found, IndexInputs, LeftOut, Reading, Seen, digest_of, left_out, recognise_files
from .lists import Entry, read_lists, split_named
from .manifest import existing_zoo, write_zoo
from .normalisation_hint import held_out_hint, normalisation_hints
from .splits import missing_splits, splits_by_run
from .zoo import SPLITS, Instance, Zoo


@dataclass(frozen=True)
class IndexPlan:
    """Which checkpoints below a folder to adopt, and how.

    Attributes:
        lists: files that name the networks to adopt, see `read_lists`; without any, all below the folder.
        arch: a name or a factory, where recognition is not wanted.
        key: where in nested checkpoints the state dict lies.
        shares: proportions of the splits, for each architecture, see `draw_splits`; which instance goes where
            is drawn from the runner's seed.
        licence: of the weights.
    """

    lists: Sequence[Path] = ()
    arch: str | None = None
    key: str | None = None
    shares: Sequence[int] = (16, 2, 8)
    licence: str = ""

    def check(self) -> None:
        """Refuse invalid shares, and an architecture together with a list.

        Raises:
            ConfigError: names them.
        """
        if len(self.shares) != len(SPLITS) or min(self.shares) < 0 or sum(self.shares) < 1:
            raise ConfigError(f"invalid shares {tuple(self.shares)}.", "Give three numbers, e.g. 16/2/8.")
        if self.arch is not None and self.lists:
            raise ConfigError(
                f"{setting('arch', self.arch)} cannot be combined with a list: both name architectures.",
                "Leave out one of them.",
            )


USUAL_PLAN = IndexPlan()


@dataclass(frozen=True)
class Adopted:
    """Result of adopting a folder.

    Attributes:
        zoo: as it is now; of a dry run, as it would be, the new instances without accuracies.
        added: the new instances.
        already: how many instances were listed before.
        refused: the files left out.
        notes: what to know of the outcome, a sentence each.
    """

    zoo: Zoo
    added: tuple[Instance, ...]
    already: int
    refused: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def index_folder(
    folder: Path | str,
    data: LabelledData,
    runner: Runner,
    plan: IndexPlan = USUAL_PLAN,
    *,
    force: bool = False,
    dry_run: bool = False,
    workers: Workers[IndexInputs] | None = None,
) -> Adopted:
    """Recognise and score the checkpoints below a folder, and write a manifest into it.

    The files stay where and as they are. Files that cannot be read, that fit no architecture or that hold a
    network taken already are left out and reported. Run again, it adds what is new.

    Args:
        folder: becomes the zoo.
        data: the images the networks were trained on.
        plan: what is adopted, and as what.
        force: index again from scratch; what was listed before stays listed until all is done.
        dry_run: recognise and draw the splits, but neither score nor write.
        workers: processes that open this folder and these data; None for this process alone.
    Raises:
        ConfigError: no folder, no checkpoint fits, a zoo of other data, or one trained by netspace with `force`.
        InputFileError: a list with an invalid line.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder.", "Name the folder that holds the checkpoints.")
    check_output(folder / "zoo.json", force=True)
    plan.check()
    before = existing_zoo(folder, data, force=force)
    kept = before.instances if before is not None and not force else ()
    entries, passed_over = (read_lists(plan.lists, folder), "") if plan.lists else _files_below(folder)
    seen, candidates, notes = _met_before(before if kept else None)
    reading = Reading(plan.arch, plan.key, candidates if plan.arch is None else (plan.arch,))
    inputs = IndexInputs(folder, data)
    architectures = {name: inputs.architecture(name) for name in reading.candidates}  # or refused, before any work
    found, refused = recognise_files(_unlisted(entries, folder, kept), seen, reading, inputs, runner, workers)
    if not found and not kept:
        raise _nothing(folder, entries, refused, passed_over)
    drawn = DrawnSplits.of(folder, plan.shares, runner.seed, anew=force)
    added = _instances(found, folder, kept, drawn)
    key = {"key": plan.key} if plan.key else {}
    added = [replace(i, licence=plan.licence, training=i.training | key) for i in added]
    zoo = Zoo(folder, data.record(), (*kept, *added), {"licence": plan.licence})
    if not dry_run:
        architectures |= {f.arch: inputs.architecture(f.arch) for f in found}
        notes += normalisation_hints(zoo, added, architectures, data, runner)
        notes += [hint for hint in [held_out_hint(data)] if hint]
        with drawn.kept(added):
            zoo = write_zoo(zoo, _scored(added, inputs, runner, workers, refused), before, force=force)
        notes += _other_accuracies(zoo, found)
    notes += [*_notes_on_splits(zoo, plan), *([passed_over] if passed_over else [])]
    new = {i.id for i in added}
    now = tuple(i for i in zoo.instances if i.id in new)
    return Adopted(zoo, now, len(before.instances) if before else 0, tuple(refused), tuple(notes))


def _files_below(folder: Path) -> tuple[list[Entry], str]:
    """The checkpoints of a folder and its subfolders, and a sentence on its other files."""
    found, others = find_checkpoints(folder)
    return [Entry(path) for path in found], describe_passed_over(others)


def _met_before(zoo: Zoo | None) -> tuple[Seen, tuple[str, ...], list[str]]:
    """Networks of an existing zoo, names of its architectures, and notes on its faults."""
    seen = Seen()
    if zoo is None:
        return seen, (), []
    architectures, lost, notes = zoo.architectures(), 0, []
    by_name = {a.name: a for a in architectures}
    for instance in zoo.instances:
        try:
            network = zoo.network(instance, by_name[instance.arch])
        except InputFileError:
            lost += 1
            continue
        try:
            seen.add(network.sha256, digest_of(network), zoo.file_of(instance))
        except InputFileError as failure:
            anew = f"{setting('force', True)} indexes again from scratch."
            notes.append(f"{failure.message.removesuffix('.')}, and both are listed. {anew}")
    if lost:
        notes.append(
            f"{lost} of {len(zoo.instances)} listed instances do not match the manifest: see `netspace zoo verify`."
        )
    return seen, tuple(by_name), notes


def _unlisted(entries: Sequence[Entry], folder: Path, kept: Sequence[Instance]) -> list[Entry]:
    """Entries that are not in the manifest, or are there with another split than in a list."""
    splits = {folder / i.file: i.split for i in kept}
    unlisted = []
    for entry in entries:
        there = splits.get(entry.path)
        if there is None:
            unlisted.append(entry)
        elif entry.split not in (None, there):
            anew = f"{setting('force', True)} indexes again from scratch."
            unlisted.append(replace(entry, problem=f"it is in the zoo already, in {there}. {anew}"))
    return unlisted


def _nothing(folder: Path, entries: Sequence[Entry], refused: Sequence[LeftOut], passed_over: str) -> ConfigError:
    if not entries:
        return ConfigError(
            f"{folder} holds no checkpoint files. {passed_over}".strip(),
            f"Files ending in {', '.join(EXTENSIONS)} are looked for, and others that torch.save or safetensors "
            "wrote, in its subfolders too.",
        )
    first = refused[0]
    return ConfigError(
        f"{folder}: none of {len(entries)} checkpoint files could be adopted.",
        f"The first, {first.path}: {first.reason} {first.hint}".strip(),
    )


def _instances(found: Sequence[Found], folder: Path, kept: Sequence[Instance], drawn: DrawnSplits) -> list[Instance]:
    """Lines of the manifest for the found files, without accuracies."""
    splits: dict[str, Iterator[str]] = {}
    before = {folder / file: split for file, split in drawn.by_file.items()}
    for name in dict.fromkeys(f.arch for f in found):
        own = [f for f in found if f.arch == name]
        known = {i.run: i.split for i in kept if i.arch == name}
        known |= {_run(f): before[f.entry.path] for f in own if f.entry.path in before}
        known |= {_run(f): f.entry.split for f in own if f.entry.split}
        runs = [_run(f) for f in own if not f.entry.split]
        splits[name] = iter(splits_by_run(runs, known, drawn.shares, random.Random(f"{drawn.seed}/index/{name}")))
    taken, instances = {i.id for i in kept}, []
    for each in found:
        file, name = each.entry.path.relative_to(folder), each.arch
        identity = _free(file, taken)
        taken.add(identity)
        split = each.entry.split or next(splits[name])
        training = {"run": each.run} if each.run else {}
        instances.append(Instance(identity, name, split, file.as_posix(), each.sha256, training=training))
    return instances


def _run(found: Found) -> str:
    """Run of a file, or the file with a leading slash, which is never an instance's id."""
    return found.run or f"/{found.entry.path}"


def _free(file: Path, taken: set[str]) -> str:
    """A new id for a file: its name, with extension if another file has the same name."""
    name = file.as_posix()
    short = file.with_name(without_extension(file.name)).as_posix()
    choices = itertools.chain([short, name], (f"{name}-{n}" for n in itertools.count(2)))
    return next(choice for choice in choices if choice not in taken)


def _notes_on_splits(zoo: Zoo, plan: IndexPlan) -> list[str]:
    drawn = [f"{file.name} names no split: it is drawn at random." for file in plan.lists if not split_named(file)]
    return [*drawn, *missing_splits(zoo.instances, plan.shares)]


def _other_accuracies(zoo: Zoo, found: Sequence[Found]) -> list[str]:
    """A sentence for each file whose recorded accuracy is far from all that was measured."""
    by_file = {zoo.file_of(instance): instance for instance in zoo.instances}
    notes = []
    for each in (each for each in found if each.entry.path in by_file):
        measured = by_file[each.entry.path].accuracy if zoo.io.logits else {}
        values = [measured[split] for split in SPLITS if split in measured]
        name = each.entry.path.relative_to(zoo.path)
        notes.append(accuracy_remark(name, each.accuracy, values, each.arch))
    return [note for note in notes if note]


def _scored(
    instances: Sequence[Instance],
    inputs: IndexInputs,
    runner: Runner,
    workers: Workers[IndexInputs] | None,
    refused: list[LeftOut],
) -> Iterator[Instance]:
    """Instances with their scores; `refused` grows by those whose outputs are not finite."""
    if not instances:
        return
    placed = replace(inputs, data=runner.place(inputs.data))
    with (
        runner.progress("scoring", len(instances)) as tick,
        closing(spread(_scores, instances, placed, runner, workers)) as outcomes,
    ):
        for instance, found in zip(instances, in_order(outcomes), strict=True):
            if isinstance(found, LeftOut):
                refused.append(found)
            else:
                yield replace(instance, accuracy=found)
            tick(1)


def _scores(instance: Instance, inputs: IndexInputs, runner: Runner) -> dict[str, float] | LeftOut:
    """Accuracies of an instance on all splits; why it is left out where an output is not finite."""
    architecture = inputs.architecture(instance.arch)
    weights = Zoo(inputs.folder, inputs.data.record(), (), {}).network(instance, architecture).weights
    path = inputs.folder / instance.file
    try:
        found = scores(architecture, runner.place(weights), runner.place(inputs.data), runner, name=str(path))
    except NotFinite as failure:
        return left_out(path, failure)
    return {split: round(value, 6) for split, value in found.items()}
