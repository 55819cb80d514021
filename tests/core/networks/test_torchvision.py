"""torchvision's classifiers: each comes out as it went in, or is refused with the true reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from netspace_models.architectures import ImageIO
from netspace_models.errors import UnknownArchitecture
from torch import Tensor, nn

from netspace_cli.core.networks.factories import fresh_module
from netspace_cli.core.networks.network import read_network, write_network

IO = ImageIO(3, 32, 4)
SOURCE = """
from torchvision import models
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

def squeezenet1_1(): return models.squeezenet1_1(num_classes=4)
def shufflenet_v2_x0_5(): return models.shufflenet_v2_x0_5(num_classes=4)
def mobilenet_v2(): return models.mobilenet_v2(num_classes=4, width_mult=0.25)
def mobilenet_v3_small(): return models.mobilenet_v3_small(num_classes=4)
def mnasnet0_5(): return models.mnasnet0_5(num_classes=4)
def resnet18(): return models.ResNet(models.resnet.BasicBlock, [2, 2, 2, 2], num_classes=4)
def efficientnet_b0(): return models.efficientnet_b0(num_classes=4)
def convnext(): return ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], num_classes=4)
def swin(): return models.SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4], num_classes=4)
def vit(): return models.VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=4)
def densenet(): return models.DenseNet(8, (2, 2), 8, num_classes=4)
def maxvit(): return models.MaxVit((64, 64), 8, 4, [8, 16], [1, 1], 4, 0.0, num_classes=4)
"""
READ = (
    *("squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "resnet18"),
    *("efficientnet_b0", "convnext", "swin", "vit"),
)
# Batch norms in front of the layers, which leave nothing to fold them into.
REFUSED = {
    "densenet": "features.denseblock1.denselayer1.norm1",
    "maxvit": "blocks.1.layers.0.layers.MBconv.layers.pre_norm",
}


@pytest.fixture(autouse=True)
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torchvision_for_tests.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)


def made(name: str) -> nn.Module:
    """A network as training may leave it: fresh ones answer all images alike, some with zeros."""
    torch.manual_seed(0)
    module = fresh_module(f"torchvision_for_tests:{name}", IO).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            fan = parameter[0].numel() if parameter.dim() > 1 else 25
            parameter.add_(torch.randn_like(parameter) / fan**0.5)
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.weight.uniform_(0.6, 1.4)
                assert norm.running_mean is not None and norm.running_var is not None
                norm.running_mean.normal_(std=0.1)
                norm.running_var.uniform_(0.5, 1.5)
    return module


def close(one: Tensor, other: Tensor) -> bool:
    """Whether logits are within 1e-4, in units of their spread where that is more than 1."""
    return bool((one - other).abs().max() <= 1e-4 * max(1.0, float(other.std())))


@pytest.mark.parametrize("name", READ)
def test_it_answers_as_plain_pytorch_and_is_loaded_back(name: str, tmp_path: Path) -> None:
    factory, module = f"torchvision_for_tests:{name}", made(name)
    torch.save({"state_dict": module.state_dict()}, tmp_path / "a.pth")
    network = read_network(tmp_path / "a.pth", arch=factory)
    assert network.architecture.io == IO
    inputs = IO.example(3, torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = module(inputs)
        assert expected.isfinite().all() and (expected[0] - expected[1]).abs().max() > 1e-3
        assert close(network.architecture.run(network.weights, inputs), expected)
        write_network(tmp_path / "b.pt", network, metadata={})
        back = fresh_module(factory, IO).eval()
        back.load_state_dict(torch.load(tmp_path / "b.pt", weights_only=True), strict=True)
        assert close(back(inputs), expected)
    assert torch.equal(read_network(tmp_path / "b.pt", arch=factory).weights, network.weights)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_folded_is_refused_for_that(name: str, tmp_path: Path) -> None:
    torch.save(made(name).state_dict(), tmp_path / "a.pth")
    with pytest.raises(UnknownArchitecture) as refused:
        read_network(tmp_path / "a.pth", arch=f"torchvision_for_tests:{name}")
    assert refused.value.message == (
        f"the batch norm '{REFUSED[name]}' does not follow a convolution or linear layer directly."
    )
    assert "this one cannot be folded" in refused.value.hint


def test_a_fresh_transformer_whose_last_layer_is_zero_is_read_as_it_is(tmp_path: Path) -> None:
    factory = "torchvision_for_tests:vit"
    module = fresh_module(factory, IO).eval()
    torch.save(module.state_dict(), tmp_path / "a.pth")
    network = read_network(tmp_path / "a.pth", arch=factory)
    inputs = IO.example(3, torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(module(inputs), torch.zeros(3, 4)), "torchvision's own choice"
        assert torch.equal(network.architecture.run(network.weights, inputs), torch.zeros(3, 4))
