"""Images as networks were given them: by the user's word, or as a zoo or space recorded."""

from __future__ import annotations

import pytest
from netspace_models.errors import ConfigError

from netspace_cli.core.data.datasets import load_images
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.data.normalise import Normalisation, as_recorded, check_alike, is_alike
from tests.worlds import Tiny


def test_words_and_numbers_normalise_and_are_recorded() -> None:
    data = load_images("digits")
    for asked, mean, std in (
        (Normalisation("half"), 0.5, 0.5),
        (Normalisation("none"), 0.0, 1.0),
        (Normalisation("own"), data.mean[0], data.std[0]),
        (Normalisation(mean=(0.1,), std=(0.3,)), 0.1, 0.3),
        (Normalisation(), data.mean[0], data.std[0]),
    ):
        found = asked.of(data)
        record = found.record()
        assert (record["mean"], record["std"]) == ([mean], [std])
        plain = found.splits["test"].images[:3].float() / 255
        assert found.batch("test", slice(0, 3))[0].sub(plain.sub(mean).div(std)).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Normalisation("imagenet"), "3 numbers to normalise by; the images of digits have 1 channel."),
        (Normalisation(mean=(0.1, 0.2), std=(0.3, 0.3)), "2 numbers to normalise by"),
        (Normalisation(mean=(125.3,), std=(63.0,)), "a mean of 125.3 is not one of pixels between 0 and 1"),
        (Normalisation(mean=(0.5,), std=(0.0,)), "a std of 0 is not"),
        (Normalisation(mean=(0.5,)), "only one is given"),
        (Normalisation("half", (0.5,), (0.5,)), "together with a mean"),
        (Normalisation("usual"), "unknown normalisation 'usual'"),
    ],
)
def test_what_cannot_be_is_refused(asked: Normalisation, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        asked.of(load_images("digits"))


def test_images_opened_again_are_as_recorded(tiny: Tiny) -> None:
    half = Normalisation("half").of(tiny.data)
    again = as_recorded(tiny.data, half.record())
    assert (again.mean, again.std) == (half.mean, half.std)
    digits = load_images("digits")
    assert as_recorded(digits, half.record()) is digits, "other images keep their own"
    zoo_data = tiny.zoo.kind.choose_data_of_zoo(half.record(), str(tiny.npz), "the zoo")
    assert isinstance(zoo_data, ImageData)
    assert (zoo_data.mean, zoo_data.std) == (half.mean, half.std)


def test_networks_that_know_images_otherwise_are_not_put_together() -> None:
    known = {"mean": [0.13], "std": [0.31]}
    for part in ({"mean": [0.18], "std": [0.35]}, {}, {"io": "of a table"}):
        assert is_alike(known, part) and is_alike(part, known)
        check_alike({"one": known, "other": part})
    none = {"mean": [0.0], "std": [1.0]}
    assert is_alike(known, {"mean": [0.5] * 3, "std": [0.5] * 3}), "others say that the channels differ"
    for other in (
        none,
        {"mean": [0.13], "std": [0.38]},
        {"mean": [0.22], "std": [0.31]},
        {"mean": [0.13], "std": [0.03]},
    ):
        assert not is_alike(known, other)
    words = r"one know inputs .* a mean of 0\.13 and a deviation of 0\.31, last by a mean of 0 and a dev"
    with pytest.raises(ConfigError, match=words):
        check_alike({"one": known, "other": known, "last": none})


def test_tables_are_compared_column_by_column_with_their_targets() -> None:
    known = {"mean": [0.1, 1e3, 5, 5], "std": [1.0, 100.0, 1, 1], "target_mean": [14.0], "target_std": [5.2]}
    check_alike({"one": known, "half": {**known, "mean": [0.2, 1.01e3, 5, 5]}})
    with pytest.raises(ConfigError, match=r"know inputs .* of 1e\+03 and a deviation of 100 \(number 2\), other by"):
        check_alike({"one": known, "other": {**known, "mean": [0.1, 1.05e3, 5, 5]}})
    with pytest.raises(ConfigError, match=r"know targets normalised by a mean of 14 and a deviation of 5\.2, other by"):
        check_alike({"one": known, "other": {**known, "target_mean": [18.4], "target_std": [21.2]}})
