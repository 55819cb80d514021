"""Batch norm folded into the layer before it, and written back."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from netspace_models.architectures import ImageIO
from netspace_models.architectures.architecture import describe
from netspace_models.errors import UnknownArchitecture
from netspace_models.parameters.folding import FoldedPair, check_folding, fold, fused_module, trace, unfold
from torch import Tensor, nn

IMAGES = torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def convolution(*, biased: bool, affine: bool, eps: float = 1e-5) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 4, 3, bias=biased), nn.BatchNorm2d(4, affine=affine, eps=eps)).eval()


def with_statistics(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
            m.running_mean = torch.randn(m.num_features, generator=generator)
            m.running_var = 0.2 + torch.rand(m.num_features, generator=generator)
            if m.affine:
                nn.init.normal_(m.weight, generator=generator)
                nn.init.normal_(m.bias, generator=generator)
    return module


def test_folding_is_the_published_formula() -> None:
    module = with_statistics(convolution(biased=False, affine=True))
    state = module.state_dict()
    (g, b), (m, v) = (state["1.weight"], state["1.bias"]), (state["1.running_mean"], state["1.running_var"])
    folded = fold(state, trace(module, IMAGES).pairs)
    scale = g / (v + 1e-5).sqrt()
    torch.testing.assert_close(folded["0.weight"], state["0.weight"] * scale[:, None, None, None])
    torch.testing.assert_close(folded["0.bias"], b - m * scale)
    assert set(folded) == {"0.weight", "0.bias"}


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("eps", [1e-5, 1e-2])
def test_folding_and_writing_back_leave_the_outputs(biased: bool, affine: bool, eps: float) -> None:
    module = with_statistics(convolution(biased=biased, affine=affine, eps=eps))
    pairs = trace(module, IMAGES).pairs
    assert pairs == (FoldedPair("0", "1", biased, affine, eps),)
    expected = module(IMAGES)
    fused = fused_module(module, pairs)
    fused.load_state_dict(fold(module.state_dict(), pairs), strict=True)
    torch.testing.assert_close(fused(IMAGES), expected, rtol=0, atol=1e-5)
    back = unfold(fold(module.state_dict(), pairs), pairs)
    again = convolution(biased=biased, affine=affine, eps=eps)
    again.load_state_dict(back, strict=True)
    torch.testing.assert_close(again(IMAGES), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("eps", [1e-5, 1e-3, 0.1])
def test_folding_undoes_writing_back_bit_for_bit(biased: bool, eps: float) -> None:
    pairs = (FoldedPair("0", "1", biased, True, eps),)
    generator = torch.Generator().manual_seed(2)
    folded = {"0.weight": torch.randn(64, 9, generator=generator), "0.bias": 50 * torch.randn(64, generator=generator)}
    again = fold(unfold(folded, pairs), pairs)
    assert all(torch.equal(again[n], t) for n, t in folded.items())


def test_folding_undoes_writing_back_to_rounding_without_scale_and_shift() -> None:
    pairs = (FoldedPair("0", "1", False, False, 1e-5),)
    folded = {"0.weight": torch.randn(8, 3), "0.bias": torch.randn(8)}
    again = fold(unfold(folded, pairs), pairs)
    torch.testing.assert_close(again, folded, rtol=1e-6, atol=1e-6)


def test_folding_and_fusing_leave_what_they_were_given() -> None:
    module = with_statistics(convolution(biased=True, affine=True))
    pairs = trace(module, IMAGES).pairs
    before = {n: t.clone() for n, t in module.state_dict().items()}
    fold(module.state_dict(), pairs)
    unfold(fold(before, pairs), pairs)
    fused_module(module, pairs)
    assert list(module.state_dict()) == list(before)
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())


def test_the_order_is_that_of_use_not_of_registration() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.norm, self.first = nn.Linear(4, 2), nn.BatchNorm1d(4), nn.Linear(72, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.norm(self.first(x.flatten(1))))

    seen = trace(Backwards(), IMAGES)
    assert seen.order == ("first", "norm", "last")
    assert seen.pairs == (FoldedPair("first", "norm", True, True, 1e-5),)


def test_tracing_leaves_no_hooks_behind_even_when_it_fails() -> None:
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.BatchNorm2d(4))
    with pytest.raises(UnknownArchitecture):
        trace(module, IMAGES)
    assert not any(m._forward_hooks for m in module.modules())


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("layers", "norm"),
    [
        ([nn.Identity()], nn.BatchNorm2d(2)),
        ([nn.Conv2d(2, 4, 3), nn.ReLU()], nn.BatchNorm2d(4)),
        ([nn.ConvTranspose2d(2, 4, 3)], nn.BatchNorm2d(4)),
    ],
)
def test_a_norm_without_a_layer_before_it_is_refused(
    layers: list[nn.Module], norm: nn.BatchNorm2d, affine: bool
) -> None:
    kind = nn.BatchNorm2d(norm.num_features, affine=affine)
    with pytest.raises(UnknownArchitecture) as raised:
        trace(nn.Sequential(*layers, kind), IMAGES)
    assert f"the batch norm '{len(layers)}' does not follow a convolution or linear layer directly" in str(raised.value)


@pytest.mark.parametrize("track", [True, False])
def test_a_norm_without_running_statistics_is_refused(track: bool) -> None:
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, track_running_stats=track))
    if track:
        assert len(trace(module, IMAGES).pairs) == 1
        return
    with pytest.raises(UnknownArchitecture, match="'1' cannot be folded into '0'.*running statistics"):
        trace(module, IMAGES)


def test_a_norm_over_another_axis_than_the_layers_is_refused() -> None:
    class Across(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm = nn.Linear(36, 5), nn.BatchNorm1d(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.layer(x.flatten(2)))

    with pytest.raises(UnknownArchitecture, match="'norm' cannot be folded into 'layer'"):
        trace(Across(), IMAGES)


def test_a_layer_with_a_computed_weight_is_refused() -> None:
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 4, 3)), nn.BatchNorm2d(4))
    with pytest.raises(UnknownArchitecture):
        trace(module, IMAGES)


@pytest.mark.parametrize("twice", ["layer", "norm"])
def test_a_module_used_twice_is_refused(twice: str) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.other = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
            self.norm = nn.BatchNorm2d(2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(self.layer(x))
            return self.layer(x) if twice == "layer" else self.norm(self.other(x))

    with pytest.raises(UnknownArchitecture, match=f"the module '{twice}' is used more than once"):
        trace(Twice(), IMAGES)


class ReadTwice(nn.Module):
    """The norm's input is read by something else too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.out = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return self.out((self.norm(y) + y).flatten(1))


class AlteredInPlace(ReadTwice):
    """What comes between layer and norm gives back the very tensor that the layer gave."""

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(F.relu(self.layer(x), inplace=True)).flatten(1))


class Folds(ReadTwice):
    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.layer(x)).flatten(1))


@pytest.mark.parametrize("kind", [ReadTwice, AlteredInPlace])
def test_pairs_whose_folding_changes_the_outputs_are_refused(kind: type[nn.Module]) -> None:
    module = kind()
    pairs = trace(module, IMAGES).pairs
    assert len(pairs) == 1, "the two do look like a pair"
    with pytest.raises(UnknownArchitecture, match="folding its batch norms changes the outputs by"):
        check_folding(module, fused_module(module, pairs), pairs, IMAGES)
    with pytest.raises(UnknownArchitecture, match="folding its batch norms"):
        describe("mine", module, ImageIO(2, 6, 3))


def test_pairs_that_fold_pass() -> None:
    module = Folds()
    before = {n: t.clone() for n, t in module.state_dict().items()}
    pairs = trace(module, IMAGES).pairs
    check_folding(module, fused_module(module, pairs), pairs, IMAGES)
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())
