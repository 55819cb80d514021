"""The ClassId heads."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from netspace_models.errors import ConfigError
from netspace_models.heads import ConvHead, MLPHead


def test_the_conv_head_is_the_published_one() -> None:
    head = ConvHead(4096, 4)
    assert (head.conv.kernel_size, head.conv.stride, head.conv.padding) == ((3, 3), (2, 2), (1, 1))
    assert head.conv.out_channels == 10
    assert head.fc.in_features == 10_240
    # What the published decoder of 88 rows has more with its head.
    assert sum(p.numel() for p in head.parameters()) == 4_721_258 - 4_680_194
    embeddings = torch.randn(2, 4096)
    picture = F.leaky_relu(head.conv(embeddings.reshape(2, 1, 64, 64)), 0.01)
    torch.testing.assert_close(head(embeddings), head.fc(picture.reshape(2, 10_240)))


@pytest.mark.parametrize("size", [1, 9, 64, 1024])
def test_the_conv_head_takes_any_square(size: int) -> None:
    assert ConvHead(size, 3)(torch.randn(5, size)).shape == (5, 3)


@pytest.mark.parametrize(("size", "near"), [(1000, "961 or 1024"), (128, "121 or 144"), (2, "1 or 4")])
def test_the_conv_head_refuses_what_is_no_square(size: int, near: str) -> None:
    with pytest.raises(ConfigError) as raised:
        ConvHead(size, 3)
    assert str(raised.value) == (
        f"the conv head cannot read {size} values as a square picture. Choose a square embedding size, such as {near}."
    )


def test_the_mlp_head_takes_embeddings_of_any_size() -> None:
    head = MLPHead(7, 3, hidden=5)
    embeddings = torch.randn(4, 7, requires_grad=True)
    logits = head(embeddings)
    assert logits.shape == (4, 3)
    logits.square().sum().backward()
    assert embeddings.grad is not None
    assert embeddings.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())
