"""Files of before: names of values, and the order in which their optimisers number them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from netspace_models.architectures import ImageIO, build
from netspace_models.backbones import ArchitectureInit, TokensBackbone
from netspace_models.backbones.tokens.old_names import renamed
from netspace_models.backbones.tokens.settings import (
    DirectSettings,
    FeedbackSettings,
    ReaderSettings,
    TokensSettings,
    WriterSettings,
)
from torch import nn

IO = ImageIO(1, 8, 3)
LEARNT, TWICE = DirectSettings("learnt"), FeedbackSettings(2)
# Of values of before: the module's own first, in the order in which they were made, then those of its parts, likewise.
VECTORS = ("probes", "first", "probe_positions", "start", "latent_positions")
OF_ARCHITECTURE = ("positions", "layers", "queries", "bias", "bases")
PARTS = ("read_chunk", "read_statistics", "read_answer", "gather", "mix", "norm_latents", "to_embedding")
WRITING = ("from_embedding", "unmix", "spread", "norm_chunks", "write_chunk")


def made(**parts: Any) -> TokensBackbone:
    architectures = [build(name, IO) for name in ("lenetlike", "vanillacnn")]
    inits = {
        a.name: ArchitectureInit(a.spec, None, torch.ones(len(a.spec.layers)), a.run_several) for a in architectures
    }
    sizes = {"embedding_size": 64, "latents": 4, "chunk": 256, "width": 8, "heads": 2, "depth": 2}
    return TokensSettings(**{**sizes, **parts}).build(inits, IO)


def older(name: str) -> str:
    """The name of before of a value of today."""
    parts = name.split(".")
    if parts[0] == "heads":
        return f"codecs.{parts[1]}." + (f"bases.{parts[3]}" if parts[2] == "direct" else parts[2])
    if parts[:3] == ["reader", "sources", "weights"] and parts[3] == "positions":
        return f"codecs.{parts[4]}." + {"chunks": "positions", "layers": "layers"}[parts[5]]
    if parts[:2] == ["writer", "queries"]:
        return f"codecs.{parts[2]}.queries"
    whole = {
        "probes.inputs": "probes",
        "reader.sources.answers.positions": "probe_positions",
        "writer.positions": "latent_positions",
    }
    rest = [part for part in parts if part not in ("reader", "sources", "weights", "answers", "writer", "feedback")]
    return whole.get(name, ".".join(rest))


def place(name: str, order: tuple[str, ...]) -> tuple[int, ...]:
    """Of a value of before among the others."""
    first, *rest = name.split(".")
    if first in VECTORS:
        return 0, VECTORS.index(first)
    if first == "codecs":
        return 1, int(rest[0]), OF_ARCHITECTURE.index(rest[1])
    return 2, order.index(first)


CASES: dict[str, dict[str, Any]] = {
    "all": {"direct": LEARNT, "feedback": TWICE},
    "sketch": {},
    "weights": {"reader": ReaderSettings(probes=0)},
    "answers": {"reader": ReaderSettings("answers", 8), "feedback": TWICE},
    "constant": {"reader": ReaderSettings("constant", 8), "feedback": TWICE, "direct": LEARNT},
    "direct": {"writer": WriterSettings("direct"), "direct": LEARNT, "feedback": TWICE},
}


@pytest.mark.parametrize("case", CASES)
def test_optimisers_number_values_as_before(case: str) -> None:
    model = made(**CASES[case])
    names = {id(p): older(name) for name, p in model.named_parameters()}
    found = [names[id(p)] for p in model.ordered_parameters()]
    # Feedback that follows the gradient alone was made before the writer.
    order = (*PARTS, "corrections", *WRITING) if case == "constant" else (*PARTS, *WRITING, "corrections")
    assert found == sorted(found, key=lambda name: place(name, order)), "within a part as they were made"
    assert len(found) == len(names) == len(set(found))


@pytest.mark.parametrize("case", CASES)
def test_values_of_before_are_loaded(case: str) -> None:
    model, other = made(**CASES[case]), made(**CASES[case])
    state = model.state_dict()
    before = {older(name): tensor for name, tensor in state.items()}
    assert len(before) == len(state) and not set(before) & set(state)
    assert {renamed(name) for name in before} == set(state) == {renamed(name) for name in state}
    for loading, names in ((other, before), (nn.Sequential(other), {f"0.{n}": t for n, t in before.items()})):
        with torch.no_grad():
            for p in other.parameters():
                p.zero_()
        loading.load_state_dict(names, strict=True)
        assert all(torch.equal(tensor, state[name]) for name, tensor in other.state_dict().items())


def test_a_value_under_both_names_is_refused() -> None:
    model = made()
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "probes"'):
        model.load_state_dict({**model.state_dict(), "probes": torch.zeros(64, 1, 8, 8)})
