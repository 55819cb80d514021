"""Zoos of fresh networks and random images, for measurements whose result does not depend on what networks know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from netspace_models.architectures import ImageIO
from torch import nn
from torchvision.models import resnet18 as torchvision_resnet18
from torchvision.models import resnet50 as torchvision_resnet50

from netspace_cli.core.data.datasets import load_images
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.networks.factories import fresh_module
from netspace_cli.core.zoos.listing import append_instance
from netspace_cli.core.zoos.zoo import Instance, create_zoo, write_instance

RESNET18, RESNET50 = (f"tests.benchmarks.made_zoos:{name}" for name in ("resnet18", "resnet50"))


def resnet18(io: ImageIO) -> nn.Module:
    """Build torchvision's ResNet18: 11.2 M parameters, layers of up to 4,608 inputs."""
    return torchvision_resnet18(num_classes=io.classes)


def resnet50(io: ImageIO) -> nn.Module:
    """Build torchvision's ResNet50: 23.5 M parameters."""
    return torchvision_resnet50(num_classes=io.classes)


def made_data(folder: Path, size: int = 32, count: int = 1000) -> ImageData:
    """Random pictures in ten classes, as many to train as to validate and test on together."""
    random = np.random.default_rng(0)
    arrays = {
        f"{split}_{what}": random.integers(0, most, (n, *shape), dtype=np.uint8)
        for split, n in (("train", count), ("val", count // 2), ("test", count // 2))
        for what, most, shape in (("images", 256, (size, size, 3)), ("labels", 10, ()))
    }
    np.savez(folder / "images.npz", **arrays)  # type: ignore[arg-type]  # numpy's stub has no such keywords
    return load_images(str(folder / "images.npz"))


def made_zoo(folder: Path, data: ImageData, archs: tuple[str, ...], counts: tuple[int, int, int]) -> Path:
    """A zoo with this many training, validation and test instances of each architecture, all different."""
    zoo = create_zoo(folder / "zoo", data.record(), {}).path
    for arch in archs:
        torch.manual_seed(0)
        state = fresh_module(arch, data.io).state_dict()
        first = next(iter(state))
        places = [split for split, count in zip(("train", "val", "test"), counts, strict=True) for _ in range(count)]
        for i, split in enumerate(places):
            name = f"{arch.rpartition(':')[2]}-{i}"
            changed = {**state, first: state[first] * (1 + 0.01 * torch.randn(state[first].shape))}
            file = write_instance(zoo, name, arch, changed, "")
            append_instance(zoo, Instance(name, arch, split, file, sha256_of(zoo / file), accuracy={"val": 0.1}))
    return zoo
