"""Write samples as a zoo, so that every command that reads zoos reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from netspace_models.errors import ConfigError

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.files.outputs import check_folder
from netspace_cli.core.networks.scores import scores
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Instance, Zoo, append_instance, create_zoo, open_zoo, write_instance

from .sample import Sample, Samples


def check_new_folder(folder: Path) -> None:
    """Refuse a folder for samples that is not empty or cannot be made.

    Raises:
        ConfigError: says which.
    """
    check_folder(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty; samples need a new folder.", "Choose another folder.")


def write_samples(
    folder: Path, samples: Samples, space: Space, runner: Runner, *, data: LabelledData | None = None
) -> Zoo:
    """Write samples as training instances of a zoo, with how each was drawn under `training`.

    Args:
        folder: new or empty; its parents are made.
        data: measures accuracies on all splits; None to leave them out.
    Raises:
        ConfigError: the folder has something in it.
    """
    check_new_folder(folder)
    licence = str(space.record.get("zoo_licence", ""))
    about = {"licence": licence, "sampled": _source(samples, space)}
    create_zoo(folder, space.record["data"], about)
    images = None if data is None else runner.place(data)
    with runner.progress("writing the samples", len(samples)) as tick:
        for each in samples.samples:
            append_instance(folder, _instance(folder, each, samples, space, runner, images))
            tick(1)
    return open_zoo(folder)


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


def _instance(
    folder: Path, each: Sample, samples: Samples, space: Space, runner: Runner, images: LabelledData | None
) -> Instance:
    network, licence = each.network, str(space.record.get("zoo_licence", ""))
    architecture, name = network.architecture, sample_id(each, samples)
    file = write_instance(folder, name, architecture.name, architecture.to_state(network.weights), licence)
    found = {} if images is None else scores(architecture, runner.place(network.weights), images, runner)
    return Instance(
        id=name,
        arch=architecture.name,
        split="train",
        file=file,
        sha256=sha256_of(folder / file),
        accuracy={split: round(value, 6) for split, value in found.items()},
        licence=licence,
        training=provenance_of(each, samples, space),
    )
