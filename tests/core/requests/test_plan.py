"""What a dry run says of its inputs: what the run would make of them, and the same refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from netspace_models.errors import DataUnavailable, InputFileError, WrongSpace

from netspace_cli.core.encoding import encode as encoding
from netspace_cli.core.requests.inputs import read_inputs
from netspace_cli.core.requests.plan import planned_inputs
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.embeddings import Origin, embeddings_of, save_embeddings
from tests.worlds import Tiny


def emb(tiny: Tiny, path: Path, count: int = 1) -> Path:
    save_embeddings(path, embeddings_of(tiny.space, tiny.space.embeddings[:count], [Origin("lenetlike")] * count))
    return path


@pytest.mark.parametrize(("asked", "images", "steps"), [(None, True, 2), (None, False, 0), (0, True, 0), (5, True, 5)])
def test_it_says_what_the_run_would_make_of_each_input(
    tiny: Tiny, tmp_path: Path, asked: int | None, images: bool, steps: int
) -> None:
    paths, data = [tiny.networks["resnet8"], emb(tiny, tmp_path / "a.emb")], tiny.data if images else None
    rows = planned_inputs(paths, tiny.space, data=data, refine_steps=asked)
    assert [row["refine_steps"] for row in rows] == [steps, None]
    with Runner("cpu") as runner:
        made = read_inputs(paths, tiny.space, runner, data=data, refine_steps=asked)
    assert [row["arch"] for row in rows] == [i.origin.arch for i in made] == ["resnet8", "lenetlike"]
    assert [row["path"] for row in rows] == paths
    assert made[0].origin.steps == steps
    sizes = {a.name: a.parameter_count for a in tiny.space.architectures}
    assert [row["parameters"] for row in rows] == [sizes[row["arch"]] for row in rows]


def test_nothing_is_computed(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("the encoder runs")

    monkeypatch.setattr(type(tiny.space.model), "encode", refuse)
    monkeypatch.setattr(encoding, "refine", refuse)
    planned_inputs(list(tiny.networks.values()), tiny.space, data=tiny.data, refine_steps=3)


def test_what_the_run_would_refuse_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="it holds 2 embeddings, one is needed"):
        planned_inputs([emb(tiny, tmp_path / "two.emb", 2)], tiny.space, data=None)
    with pytest.raises(WrongSpace, match="resnet14"):
        planned_inputs([tiny.teacher], tiny.space, data=None)
    with pytest.raises(WrongSpace, match=tiny.space.sha256[:12]):
        planned_inputs([emb(tiny, tmp_path / "one.emb")], tiny.single_space, data=None)
    with pytest.raises(DataUnavailable, match="refining needs images"):
        planned_inputs([tiny.networks["resnet8"]], tiny.space, data=None, refine_steps=3)
