"""Whether an architecture can be trained, and on how few images a step."""

from __future__ import annotations

from copy import deepcopy

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError

from netspace_cli.core.runtime.runner import kept_random_state


def check_trains(architecture: Architecture) -> None:
    """Refuse an architecture whose module gives no tensor in training mode, such as one with heads of its own for that.

    Raises:
        ConfigError: says what it gives.
    """
    with kept_random_state(), torch.no_grad():
        outputs = deepcopy(architecture.module).train()(torch.zeros(2, *architecture.io.input_shape))
    if not isinstance(outputs, torch.Tensor):
        raise ConfigError(
            f"{architecture.name} cannot be trained here: in training mode it gives a {type(outputs).__name__}, and "
            "outputs are to be one tensor.",
            "Let its factory leave out what it gives besides in training mode (of torchvision: aux_logits=False).",
        )


def check_images_a_step(architecture: Architecture, images: int, given: str, enough: str) -> None:
    """Refuse an architecture that cannot be trained on one image a step.

    A batch norm over values, or maps of one pixel, needs several images to average over.

    Args:
        images: of a step.
        given, enough: the setting that decides them, as it is and as it must be at least.
    Raises:
        ConfigError: says what cannot be done with this setting.
    """
    if images > 1:
        return
    with kept_random_state(), torch.no_grad():
        module = deepcopy(architecture.module).train()
        try:
            module(torch.zeros(1, *architecture.io.input_shape))
        except ValueError as failure:
            raise ConfigError(
                f"{architecture.name} cannot be trained on {images} image a step ({given}): its "
                f"batch norms average over images ({failure}).",
                f"Give {enough} or more.",
            ) from failure
