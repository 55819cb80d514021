"""PRep: flat parameters on a grid and back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from netspace_models.errors import DoesNotFit
from netspace_models.parameters.prep_grid import WIDTH, check_fits, from_prep, published_height, to_prep


def test_rows_are_filled_one_after_the_other_and_the_rest_is_zero() -> None:
    grid = to_prep(torch.arange(1.0, 8.0), height=3, width=4)
    assert grid.tolist() == [[1, 2, 3, 4], [5, 6, 7, 0], [0, 0, 0, 0]]


@given(
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    spare=st.integers(0, 35),
    lead=st.lists(st.integers(1, 3), max_size=2),
    seed=st.integers(0, 99),
)
def test_a_round_trip_keeps_every_bit(height: int, width: int, spare: int, lead: list[int], seed: int) -> None:
    parameters = max(1, height * width - spare)
    generator = torch.Generator().manual_seed(seed)
    bits = torch.randint(-(2**31), 2**31 - 1, (*lead, parameters), dtype=torch.int32, generator=generator)
    grid = to_prep(bits.view(torch.float32), height=height, width=width)
    assert grid.shape == (*lead, height, width)
    assert torch.equal(from_prep(grid, parameters=parameters).view(torch.int32), bits)
    assert not grid.flatten(-2)[..., parameters:].any()


def test_a_full_grid_fits_and_one_more_does_not() -> None:
    check_fits(12, height=3, width=4, owner="mine")
    assert to_prep(torch.ones(12), height=3, width=4).all()
    with pytest.raises(DoesNotFit):
        to_prep(torch.ones(13), height=3, width=4)


def test_what_does_not_fit_is_refused_with_both_numbers_and_the_height_that_would_do() -> None:
    with pytest.raises(DoesNotFit) as raised:
        to_prep(torch.zeros(465_674), height=8, width=10_000, owner="resnet32")
    assert str(raised.value) == (
        "resnet32 has 465,674 parameters; a PRep of 8 x 10000 holds 80,000. A height of 47 is enough (`height=47`)."
    )
    assert raised.value.exit_code == 3
    check_fits(465_674, height=47, width=10_000, owner="resnet32")


@pytest.mark.parametrize(("parameters", "multiple", "height"), [(33, 1, 5), (33, 4, 8), (32, 4, 4), (65, 4, 12)])
def test_the_height_that_would_do_is_one_that_is_allowed(parameters: int, multiple: int, height: int) -> None:
    with pytest.raises(DoesNotFit, match=f"A height of {height} is enough"):
        check_fits(parameters, height=1, width=8, owner="mine", multiple=multiple)
    check_fits(parameters, height=height, width=8, owner="mine", multiple=multiple)


def test_the_height_that_would_do_is_told_in_the_caller_s_words() -> None:
    with pytest.raises(DoesNotFit) as raised:
        check_fits(33, height=1, width=8, owner="mine", multiple=4, of_recipe=True)
    assert raised.value.hint == "A height of 8 is enough (`backbone.height = 8` in the recipe)."


def test_reading_more_than_the_grid_holds_is_refused() -> None:
    with pytest.raises(DoesNotFit, match="the network has 13 parameters; a PRep of 3 x 4 holds 12"):
        from_prep(torch.zeros(3, 4), parameters=13)


def test_the_gradient_passes_through() -> None:
    vector = torch.randn(5, requires_grad=True)
    from_prep(to_prep(vector, height=2, width=3) * 2, parameters=5).sum().backward()
    assert vector.grad is not None
    assert vector.grad.tolist() == [2] * 5


@pytest.mark.parametrize(
    ("architectures", "size", "height"), [(1, 32, 8), (1, 16, 8), (1, 64, 16), (1, 48, 16), (4, 32, 88), (2, 64, 88)]
)
def test_published_heights(architectures: int, size: int, height: int) -> None:
    assert published_height(architectures=architectures, size=size) == height
    assert WIDTH == 10_000
