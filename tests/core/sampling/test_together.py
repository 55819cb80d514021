"""Networks together: votes, calibration, shared mistakes, and a zoo as an ensemble."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from netspace_models.architectures import build
from netspace_models.errors import ConfigError, NotFinite
from netspace_models.problems import CLASSIFICATION, REGRESSION

from netspace_cli.core.data.datasets import load_data
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.merging.panel import seat
from netspace_cli.core.networks.scores import agreement, labels_of, logits_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import spread
from netspace_cli.core.sampling import together as sampling
from netspace_cli.core.sampling.together import calibration_error, ensemble, mean_agreement, together
from netspace_cli.core.zoos.listing import append_instance
from netspace_cli.core.zoos.zoo import Instance, create_zoo, open_zoo, write_instance
from tests.small_networks import seeded
from tests.worlds import Tiny


def test_agreement_is_that_of_all_pairs() -> None:
    logits = torch.randn(5, 40, 3, generator=seeded())
    pairs = [agreement(a, b) for a, b in combinations(logits, 2)]
    assert mean_agreement(list(logits), CLASSIFICATION) == pytest.approx(sum(pairs) / len(pairs))
    assert mean_agreement([logits[0]], CLASSIFICATION) is None


def test_the_ensemble_takes_the_mean_of_probabilities() -> None:
    labels = torch.tensor([0, 0])
    sure, unsure = torch.tensor([[9.0, 0], [0, 0.1]]), torch.tensor([[0, 0.1], [0, 0.1]])
    found = together([sure, unsure, unsure], labels, CLASSIFICATION)
    assert found.accuracies == (0.5, 0.0, 0.0) and found.ensemble == 0.5, "one that is sure outvotes two that are not"
    assert found.members == pytest.approx(1 / 6)
    alone = together([sure], labels, CLASSIFICATION)
    assert alone.agreement is None and alone.deviation is None
    assert alone.loss == pytest.approx(torch.nn.functional.cross_entropy(sure, labels).item(), abs=1e-6)


def test_regressors_together_are_their_mean() -> None:
    labels = torch.tensor([[0.0], [1.0], [2.0]])
    high, low = labels + 0.5, labels - 0.5
    found = together([high, low], labels, REGRESSION)
    assert found.accuracies == (pytest.approx(1 - 0.75 / 2),) * 2 and found.ensemble == 1 and found.loss == 0
    assert found.calibration_error is None
    # Each is 1 off as seen from the other.
    assert found.agreement == pytest.approx(1 - 3 / 2)


def test_calibration_error_is_the_gap_of_each_bin() -> None:
    probabilities = torch.tensor([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10)
    labels = torch.tensor([0] * 9 + [1] + [1] * 10)
    # Nine of ten right where .9 was said; none where .6 was.
    assert calibration_error(probabilities, labels) == pytest.approx(0.3, abs=1e-6)
    assert calibration_error(torch.tensor([[1.0, 0.0]]), torch.tensor([0])) == 0


def test_error_overlap_is_intersection_over_union() -> None:
    wrong = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0]]).bool()
    others = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]).bool()
    assert CLASSIFICATION.overlaps(wrong, others).tolist() == [[1.0, pytest.approx(1 / 3), 0.0], [0.0, 0.0, 0.0]]


def test_members_are_chosen_by_validation_and_judged_on_test(tiny: Tiny) -> None:
    zoo = tiny.zoo
    found = ensemble(zoo, tiny.data, Runner("cpu"), select=4)
    best = sorted((i.accuracy["val"] for i in zoo.instances), reverse=True)[:4]
    assert found.validation == tuple(best) and len(found.ids) == len(found.found.accuracies) == 4
    known = {i.id: i for i in zoo.instances}
    for name, accuracy in zip(found.ids, found.found.accuracies, strict=True):
        assert accuracy == pytest.approx(known[name].accuracy["test"], abs=1e-6)
    every = ensemble(zoo, tiny.data, Runner("cpu"))
    assert len(every.ids) == len(zoo.instances) and every.validation is None


def test_a_task_of_an_ensemble_is_several_networks_that_are_asked_together(tiny: Tiny) -> None:
    """The same networks here and by workers, so that the same bits come out."""
    with (
        Runner("cpu") as runner,
        patch.object(sampling, "spread", side_effect=spread) as spreading,
        patch.object(ImageData, "batch", autospec=True, side_effect=ImageData.batch) as batch,
    ):
        ensemble(tiny.single_zoo, tiny.data, runner)
    (groups,) = (call.args[1] for call in spreading.call_args_list)
    assert [len(group) for group in groups] == [len(tiny.single_zoo.instances)]
    assert batch.call_count == 1


def test_one_member_is_itself(tiny: Tiny) -> None:
    (name,), found = (one := ensemble(tiny.zoo, tiny.data, Runner("cpu"), select=1)).ids, one.found
    instance = next(i for i in tiny.zoo.instances if i.id == name)
    architecture = next(a for a in tiny.zoo.architectures() if a.name == instance.arch)
    weights = tiny.zoo.network(instance, architecture).weights
    logits = logits_of(architecture, weights, tiny.data, "test", Runner("cpu"))
    assert found.ensemble == found.members
    labels = labels_of(tiny.data, "test")
    assert found.calibration_error == pytest.approx(calibration_error(logits.softmax(1), labels), abs=1e-5)


def test_a_member_whose_outputs_are_no_numbers_is_named(tiny: Tiny, tmp_path: Path) -> None:
    architecture = build("lenetlike", tiny.data.io)
    create_zoo(tmp_path / "zoo", tiny.data.record(), {})
    for name, size in (("fine", 0.1), ("huge", 1e30)):
        state = architecture.to_state(size * torch.randn(architecture.parameter_count, generator=seeded()))
        file = write_instance(tmp_path / "zoo", name, "lenetlike", state, "")
        digest = sha256_of(tmp_path / "zoo" / file)
        append_instance(tmp_path / "zoo", Instance(name, "lenetlike", "test", file, digest))
    with pytest.raises(NotFinite, match=r"zoo: huge: its outputs for \d+ of \d+ inputs are NaN or infinite") as refusal:
        ensemble(open_zoo(tmp_path / "zoo"), tiny.data, Runner("cpu"))
    assert "leave it out" in refusal.value.hint
    networks = [open_zoo(tmp_path / "zoo").network(i, architecture) for i in open_zoo(tmp_path / "zoo").instances]
    with pytest.raises(NotFinite, match="huge.safetensors: its outputs for"):
        seat(networks, tiny.data, Runner("cpu"), choose=True)


def test_what_makes_no_ensemble_is_refused(tiny: Tiny) -> None:
    total = len(tiny.zoo.instances)
    for select in (0, total + 1):
        with pytest.raises(ConfigError, match=f"{select} instances cannot be chosen from the {total} of"):
            ensemble(tiny.zoo, tiny.data, Runner("cpu"), select=select)
    with pytest.raises(ConfigError, match="is a zoo for .*; these images are 1x16x16, 10 classes"):
        ensemble(tiny.zoo, load_data("digits"), Runner("cpu"))
