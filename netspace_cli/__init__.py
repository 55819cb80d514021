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
    "Evaluation": "evaluate",
    "ImageData": "data",
    "Network": "networks",
    "Recipe": "recipe",
    "Runner": "runner",
    "Space": "space",
    "Zoo": "zoo",
    "ZooPlan": "zoo_train",
    "decode": "decode",
    "encode": "encode",
    "evaluate": "evaluate",
    "fidelity": "encode",
    "index_folder": "zoo_index",
    "inspect": "inspect",
    "interpolate": "interp",
    "interpolate_weights": "interp",
    "load_data": "datasets",
    "load_embeddings": "embedding",
    "load_recipe": "recipe",
    "load_space": "space",
    "open_zoo": "zoo",
    "optimise": "lso",
    "read_network": "networks",
    "save_embeddings": "embedding",
    "train": "train",
    "train_zoo": "zoo_train",
    "trusting": "trust",
    "write_network": "networks",
    "write_prep": "prep",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"netspace_cli has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"netspace_cli.core.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
