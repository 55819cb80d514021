"""Results as plain data: `to_dict` of each is JSON, `to_frame` of tables a data frame."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from netspace_models.errors import ConfigError

from netspace_cli import encode, ensemble, evaluate, interpolate, merge, optimise, sample
from netspace_cli.core.data.points import field_data
from netspace_cli.core.merging.plan import MergePlan
from netspace_cli.core.runtime.results import Result, Table, plain
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.sampling.audit import audit
from netspace_cli.core.sampling.sample import Samples
from tests.worlds import Solids, Tiny

Made = Callable[[Tiny, Runner], Result]


def samples(tiny: Tiny, runner: Runner) -> Samples:
    return sample(tiny.single_space, 2, "kde", runner, zoo=tiny.single_zoo, top=1.0)


RESULTS: dict[str, Made] = {
    "embeddings": lambda tiny, runner: encode(
        [tiny.zoo.network(tiny.zoo.instances[0], tiny.zoo.architectures()[0])], tiny.space, runner
    ),
    "step": lambda tiny, runner: interpolate(*tiny.space.embeddings[:2], tiny.space, runner, steps=1, data=tiny.data)[
        0
    ],
    "optimised": lambda tiny, runner: optimise(tiny.space.embeddings[0], tiny.space, tiny.data, runner, steps=1),
    "ensemble": lambda tiny, runner: ensemble(tiny.single_zoo, tiny.data, runner),
}
TABLES: dict[str, tuple[Callable[[Tiny, Runner], Table], set[str]]] = {
    "zoo": (lambda tiny, runner: tiny.zoo, {"id", "arch", "split", "epochs", "accuracy.test", "training.lr"}),
    "evaluation": (
        lambda tiny, runner: evaluate(tiny.single_zoo, tiny.single_space, tiny.data, runner),
        {"id", "target_accuracy", "predicted_accuracy", "agreement"},
    ),
    "samples": (samples, {"index", "network.arch", "start", "embedding"}),
    "audit": (
        lambda tiny, runner: audit(samples(tiny, runner), tiny.single_space, tiny.data, runner, rivals="none"),
        {"name", "members", "ensemble", "overlap"},
    ),
    "merged": (
        lambda tiny, runner: merge(
            [tiny.single_zoo.network(i, tiny.single_zoo.architectures()[0]) for i in tiny.single_zoo.instances[:2]],
            tiny.data,
            runner,
            plan=MergePlan(method="mean"),
        ),
        {"name", "scores.test", "seconds"},
    ),
}


@pytest.mark.parametrize("name", [*RESULTS, *TABLES])
def test_every_result_is_plain_data(tiny: Tiny, name: str) -> None:
    with Runner("cpu") as runner:
        found = (RESULTS.get(name) or TABLES[name][0])(tiny, runner).to_dict()
    assert found and json.loads(json.dumps(found, allow_nan=False)) == found
    assert len(json.dumps(found)) < 50_000  # no weights


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_data_frames(tiny: Tiny, name: str) -> None:
    make, columns = TABLES[name]
    with Runner("cpu") as runner:
        found = make(tiny, runner)
    frame = found.to_frame()
    assert len(frame) == len(found.records()) > 0 and columns <= set(frame.columns)


def test_an_evaluation_of_shapes_is_a_data_frame(solids: Solids) -> None:
    with Runner("cpu") as runner:
        frame = evaluate(solids.zoo, solids.space, field_data(solids.zoo.data), runner).to_frame()
    assert {"id", "iou", "within"} <= set(frame.columns)


def test_without_pandas_it_says_what_to_install(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="data frames need pandas") as refused:
        tiny.zoo.to_frame()
    assert refused.value.hint == "pip install pandas"


def test_what_is_too_large_is_written_in_brief() -> None:
    @dataclass
    class Large(Result):
        values: torch.Tensor

        def brief(self) -> dict[str, int]:
            return {"n": len(self.values)}

    assert plain([Large(torch.zeros(1000))]) == [{"n": 1000}]
