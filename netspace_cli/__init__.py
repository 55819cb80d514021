"""netspace as a library: the same work as the commands, without a terminal.

    from netspace_cli import Runner, decode, encode, load_data, load_space, read_network

    space = load_space("digits")
    with Runner() as runner:
        embeddings = encode([read_network("lenet.pt", candidates=space.architectures)], space, runner)
        (network,) = decode(embeddings, space, runner)

Names are imported when they are first used: importing this package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "AlignPlan": "zoos.align",
    "Evaluation": "kinds.kind",
    "FineTuning": "zoos.finetune",
    "ImageData": "data.images",
    "IndexPlan": "zoos.adopt",
    "MergePlan": "merging.plan",
    "Merged": "merging.merge",
    "Network": "networks.network",
    "Recipe": "spaces.recipe",
    "Runner": "runtime.runner",
    "Space": "spaces.space",
    "Zoo": "zoos.zoo",
    "ZooPlan": "zoos.plan",
    "align_zoo": "zoos.align",
    "audit": "sampling.audit",
    "decode": "encoding.decode",
    "encode": "encoding.encode",
    "ensemble": "sampling.together",
    "evaluate": "evaluation.evaluate",
    "extend": "training.loop",
    "fidelity": "encoding.fidelity",
    "finetune": "zoos.finetune",
    "index_folder": "zoos.adopt",
    "inspect": "requests.inspect",
    "interpolate": "paths.path",
    "interpolate_weights": "paths.path",
    "load_data": "data.datasets",
    "load_embeddings": "spaces.embeddings",
    "load_recipe": "spaces.recipe_reading",
    "load_space": "spaces.space",
    "merge": "merging.merge",
    "merge_groups": "merging.groups",
    "open_zoo": "zoos.zoo",
    "method_named": "sampling.methods",
    "optimise": "search.lso",
    "optimiser_for": "search.lso",
    "polish": "sampling.polish",
    "population_of": "sampling.population",
    "probe": "evaluation.probe",
    "read_network": "networks.network",
    "refresh_norms": "sampling.norms",
    "sample": "sampling.sample",
    "save_embeddings": "spaces.embeddings",
    "train": "training.loop",
    "train_zoo": "zoos.train",
    "trusting": "networks.trust",
    "write_network": "networks.network",
    "write_prep": "networks.prep_files",
    "write_samples": "sampling.write",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"netspace_cli has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"netspace_cli.core.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
