"""Names, shapes and places of parameters."""

from __future__ import annotations

import pytest
import torch
from netspace_models.errors import NamesDiffer
from netspace_models.parameters.spec import Layer, NetworkSpec, ParameterSpec

SPEC = NetworkSpec.of({"a.weight": (3, 2), "a.bias": (3,), "scale": (), "b.c.weight": (2, 1, 2)})


def test_parameters_lie_one_after_the_other() -> None:
    assert SPEC.parameters == (
        ParameterSpec("a.weight", (3, 2), 0),
        ParameterSpec("a.bias", (3,), 6),
        ParameterSpec("scale", (), 9),
        ParameterSpec("b.c.weight", (2, 1, 2), 10),
    )
    assert SPEC.size == 14
    assert [p.size for p in SPEC.parameters] == [6, 3, 1, 4]
    assert [p.layer for p in SPEC.parameters] == ["a", "a", "", "b.c"]


def test_a_layer_is_a_run_of_parameters_with_one_owner() -> None:
    assert SPEC.layers == (Layer("a", 0, 9), Layer("", 9, 10), Layer("b.c", 10, 14))


def test_flattening_is_row_after_row_in_the_order_of_the_spec() -> None:
    state = dict(reversed(SPEC.unflatten(torch.arange(14.0)).items()))
    assert state["a.weight"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert state["scale"].shape == ()
    assert torch.equal(SPEC.flatten(state), torch.arange(14.0))


def test_flattening_gives_single_precision() -> None:
    state = {n: t.double() for n, t in SPEC.unflatten(torch.rand(14)).items()}
    assert SPEC.flatten(state).dtype == torch.float32


def test_unflattening_keeps_leading_axes_and_the_gradient() -> None:
    vectors = torch.randn(4, 5, 14, requires_grad=True)
    state = SPEC.unflatten(vectors)
    assert {n: t.shape for n, t in state.items()} == {p.name: (4, 5, *p.shape) for p in SPEC.parameters}
    assert torch.equal(state["b.c.weight"][1, 2], SPEC.unflatten(vectors[1, 2])["b.c.weight"])
    sum((t.sum() for t in state.values()), torch.zeros(())).backward()
    assert vectors.grad is not None
    assert torch.equal(vectors.grad, torch.ones_like(vectors))


@pytest.mark.parametrize("size", [13, 15])
def test_a_vector_of_another_size_is_no_network(size: int) -> None:
    with pytest.raises(RuntimeError, match="split"):
        SPEC.unflatten(torch.zeros(size))


def test_a_round_trip_keeps_every_bit() -> None:
    bits = torch.randint(-(2**31), 2**31 - 1, (14,), dtype=torch.int32)
    vector = bits.view(torch.float32)
    assert torch.equal(SPEC.flatten(SPEC.unflatten(vector)).view(torch.int32), bits)


def test_a_state_dict_that_fits_passes_in_any_order() -> None:
    SPEC.check(dict(reversed(SPEC.unflatten(torch.zeros(14)).items())), "mine")


def test_all_differences_are_named() -> None:
    state = SPEC.unflatten(torch.zeros(14))
    state = {"a.weight": torch.zeros(2, 3), "b.c.weight": state["b.c.weight"], "x": torch.zeros(1)}
    with pytest.raises(NamesDiffer) as raised:
        SPEC.check(state, "mine")
    assert str(raised.value) == (
        "the parameters do not fit mine. 2 missing: a.bias, scale. 1 unexpected: x. "
        "1 misshaped: a.weight: (2, 3), expected (3, 2)."
    )
    assert (raised.value.missing, raised.value.unexpected) == (("a.bias", "scale"), ("x",))


def test_long_lists_of_differences_are_cut_with_their_number() -> None:
    spec = NetworkSpec.of({f"p{i}": (1,) for i in range(9)})
    with pytest.raises(NamesDiffer, match="9 missing: p0, p1, p2, p3, p4, p5 and 3 more."):
        spec.check({}, "mine")
