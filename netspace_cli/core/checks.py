"""What can be refused before any work is done, from paths, manifests and settings alone; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netspace_models.errors import ConfigError, OutputExists

from .data import ImageData
from .embedding import is_embedding
from .factories import resolve_architecture
from .files import check_output
from .run_folder import RunFolder
from .zoo import open_zoo


def check_no_input(outputs: Sequence[Path | None], inputs: Sequence[Path | str | None]) -> None:
    """Refuse outputs that are inputs, whether or not files may be replaced.

    Args:
        outputs, inputs: None and built-in names among them do not count.
    Raises:
        ConfigError: two outputs of one name, or an output that is an input.
    """
    taken = {Path(p).resolve() for p in inputs if p is not None and Path(p).exists()}
    for output in filter(None, outputs):
        if output.resolve() in taken:
            raise ConfigError(f"{output} is an input or another output of this command.", "Choose another output.")
        taken.add(output.resolve())


def check_embedding_output(output: Path) -> None:
    """Refuse an embedding file that other commands would take for a checkpoint.

    Raises:
        ConfigError: another extension than .emb.
    """
    if not is_embedding(output):
        raise ConfigError(f"{output}: embeddings are written as .emb.", f"Name it {output.with_suffix('.emb').name}.")


def check_run(output: Path, *, resume: bool, force: bool) -> RunFolder:
    """Refuse what an output, or a run begun earlier, stands in the way of, before any work.

    Args:
        output: of the space.
        resume, force: as in `train`.
    Returns:
        The folder of the run.
    Raises:
        OutputExists: the output is there and `force` is not given; where it is a run's to resume, it says
            that nothing is left to do.
        ConfigError: another extension than .safetensors, a path that cannot be written, nothing to resume,
            or a run that would be lost.
    """
    try:
        check_output(output, force=force)
    except OutputExists as failure:
        if resume:
            failure.hint = _way_on(RunFolder.of(output)) or failure.hint
        raise
    folder = RunFolder.of(output)
    begun = folder.checkpoint.exists()
    if resume and not begun:
        raise ConfigError(f"{folder.path} has no checkpoint to go on from.", "Leave out --resume to begin.")
    if begun and not resume and not force:
        raise ConfigError(f"{folder.path} holds a run already.", "Go on with it (--resume), or begin again (--force).")
    return folder


def _way_on(folder: RunFolder) -> str:
    """What to do where a run is to be resumed whose output is there; "" where there is no such run."""
    if not folder.checkpoint.exists():
        return ""
    done, steps = folder.progress()
    if done < steps:
        return f"The run in {folder.path} has done {done} of {steps} steps: --resume --force goes on and replaces it."
    return (
        "Its run has ended, so nothing is left to resume. More steps are another run: begin it without --resume "
        "and with --force, or with another output."
    )


def zoo_so_far(path: Path, data: ImageData, archs: Sequence[str]) -> frozenset[str]:
    """The ids of the instances a zoo has already, before more are trained; nothing is made.

    Args:
        path: of the zoo; it need not be there.
        data, archs: of the instances to be trained.
    Raises:
        ConfigError: the folder holds a zoo of other data, or is no folder.
        UnknownArchitecture: no such architecture for these images.
    """
    for name in archs:
        resolve_architecture(name, data.signal)
    if not (path / "zoo.json").is_file():
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path} is there already and is no zoo.", "Choose another folder.")
        return frozenset()
    zoo = open_zoo(path)
    if zoo.data != data.record():
        raise ConfigError(
            f"{path} is a zoo of {zoo.data['name']} ({zoo.signal.describe()}); "
            f"this is {data.name} ({data.signal.describe()}).",
            "Choose another folder: a zoo has one data set.",
        )
    return frozenset(i.id for i in zoo.instances)
