"""Write samples as a zoo, so that every command that reads zoos reads them."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from netspace_models.errors import ConfigError

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.encoding.inputs import Inputs
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.files.leftovers import is_temporary
from netspace_cli.core.files.outputs import check_folder
from netspace_cli.core.files.structure import plain_json
from netspace_cli.core.kinds.labelled import require_labelled
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import scores
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Workers, in_order, spread
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.listing import append_instance
from netspace_cli.core.zoos.zoo import (
    Instance,
    Zoo,
    create_zoo,
    is_barely_begun,
    open_zoo,
    write_instance,
)

from .sample import Sample, Samples


def check_new_folder(folder: Path) -> None:
    """Refuse a folder for samples that holds something else than samples, or cannot be made.

    Raises:
        ConfigError: says which.
        InputFileError: a zoo that cannot be read.
    """
    check_folder(folder)
    if (folder / "zoo.json").exists():
        begun = "sampled" in open_zoo(folder).about
    else:
        left = [p for p in folder.iterdir() if not is_temporary(p)] if folder.exists() else []
        begun = not left or (len(left) == 1 and is_barely_begun(folder))
    if not begun:
        raise ConfigError(f"{folder} is not empty; samples need a new folder.", "Choose another folder.")


def write_samples(
    folder: Path | str,
    samples: Samples,
    space: Space,
    runner: Runner,
    *,
    data: LabelledData | None = None,
    workers: Workers[Inputs] | None = None,
) -> Zoo:
    """Write samples as training instances of a zoo, with how each was drawn under `training`. Begun again, it goes on.

    Args:
        folder: new, empty, or with some of these samples; its parents are made.
        data: measures accuracies on all splits; None to leave them out.
        workers: processes that open this space and these data; None for this process alone.
    Raises:
        ConfigError: the folder has something else in it, or other samples.
        InputFileError: a sample there is missing or changed.
    """
    folder = Path(folder)
    check_new_folder(folder)
    licence = str(space.record.get("zoo_licence", ""))
    about = {"licence": licence, "sampled": _source(samples, space)}
    zoo = create_zoo(folder, space.record["data"], about)
    done = _done(zoo, samples, about)
    left = [each for each in samples.samples if sample_id(each, samples) not in done]
    weights = [each.network.weights.detach().cpu().numpy() for each in left]
    inputs = Inputs(space, None if data is None else runner.place(data))
    work = partial(_scores, arch=samples.population.architecture.name)
    with (
        runner.progress("writing the samples", len(samples), len(samples) - len(left)) as tick,
        closing(spread(work, weights, inputs, runner, None if data is None else workers)) as outcomes,
    ):
        for each, accuracy in zip(left, in_order(outcomes), strict=True):
            append_instance(folder, _instance(folder, each, samples, space, accuracy))
            tick(1)
    return open_zoo(folder)


def _scores(weights: np.ndarray, inputs: Inputs, runner: Runner, *, arch: str) -> dict[str, float]:
    """Accuracies on all splits; none without data."""
    if inputs.data is None:
        return {}
    data, architecture = runner.place(require_labelled(inputs.data)), inputs.space.model.architecture(arch)
    found = scores(architecture, runner.place(torch.from_numpy(weights)), data, runner)
    return {split: round(value, 6) for split, value in found.items()}


def _done(zoo: Zoo, samples: Samples, about: dict[str, Any]) -> frozenset[str]:
    """Ids of the samples that a zoo has already.

    Raises:
        ConfigError: other samples are in it.
    """
    wanted = {sample_id(each, samples): each.network for each in samples.samples}
    same = zoo.about == plain_json(about) and all(
        i.id in wanted and _is_written(zoo, i, wanted[i.id]) for i in zoo.instances
    )
    if not same:
        raise ConfigError(
            f"{zoo.path} has other samples, drawn with other settings or in another number.", "Choose another folder."
        )
    return frozenset(i.id for i in zoo.instances)


def _is_written(zoo: Zoo, instance: Instance, network: Network) -> bool:
    architecture = network.architecture
    written = architecture.to_weights(architecture.to_state(network.weights.cpu()))
    return instance.arch == architecture.name and torch.equal(zoo.network(instance, architecture).weights, written)


def sample_id(each: Sample, samples: Samples) -> str:
    """Id of a sample: architecture, method, seed and number."""
    label = samples.population.architecture.name.replace(":", ".")
    return f"{label}-{samples.method}-{samples.seed}-{each.index:04d}"


def provenance_of(each: Sample, samples: Samples, space: Space) -> dict[str, Any]:
    """Describe how a sample was drawn, as JSON."""
    made: dict[str, Any] = {**_source(samples, space), "sample": each.index}
    if each.parents:
        made["parents"] = list(each.parents)
    if each.start:
        made["start"] = each.start
    if each.polished:
        made["polished"] = each.polished
    return made | ({"norms_of": each.norms_of} if each.norms_of else {})


def _source(samples: Samples, space: Space) -> dict[str, Any]:
    return {
        "method": samples.method,
        "settings": samples.settings,
        "top": samples.top,
        "instances": len(samples.population),
        "space": space.name,
        "space_sha256": space.sha256,
        "seed": samples.seed,
    }


def _instance(folder: Path, each: Sample, samples: Samples, space: Space, accuracy: dict[str, float]) -> Instance:
    network, licence = each.network, str(space.record.get("zoo_licence", ""))
    architecture, name = network.architecture, sample_id(each, samples)
    file = write_instance(folder, name, architecture.name, architecture.to_state(network.weights), licence)
    return Instance(
        id=name,
        arch=architecture.name,
        split="train",
        file=file,
        sha256=sha256_of(folder / file),
        accuracy=accuracy,
        licence=licence,
        training=provenance_of(each, samples, space),
    )
