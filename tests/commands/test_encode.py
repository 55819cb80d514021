"""netspace encode."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from netspace_models.space_model import SpaceModel
from safetensors.torch import load_file

from netspace_cli.core.networks.network import read_network
from netspace_cli.core.networks.scores import scores
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.embeddings import load_embeddings
from tests.worlds import Ask, Cli, Refused, Rows, Tiny


def command(tiny: Tiny, *archs: str) -> list[object]:
    return ["encode", *(tiny.networks[a] for a in archs), "--space", tiny.space.path]


def test_the_document_and_the_file_say_the_same(tiny: Tiny, work: Path, ask: Ask) -> None:
    found = ask(*command(tiny, "lenetlike", "resnet8"), "--data", tiny.npz, "-o", "two.emb")
    assert (found["space"], found["output"]) == ("tiny", "two.emb")
    assert [n["path"] for n in found["networks"]] == [str(tiny.networks[a]) for a in ("lenetlike", "resnet8")]
    for network in found["networks"]:
        assert network["parameters"] == tiny.space.model.architecture(network["arch"]).parameter_count
        assert (network["embedding_size"], network["refine_steps"]) == (64, 2)
        assert all(0 <= network[name] <= 1 for name in ("target_accuracy", "predicted_accuracy", "agreement"))

    written = load_embeddings(Path("two.emb"))
    assert written.vectors.shape == (2, 64) and written.space_sha256 == tiny.space.sha256 == found["space_sha256"]
    assert [o.arch for o in written.origins] == ["lenetlike", "resnet8"]
    assert all((o.how, o.steps) == ("refined", 2) for o in written.origins)


def test_the_target_accuracy_is_the_network_s_own_on_the_test_images(tiny: Tiny, work: Path, ask: Ask) -> None:
    (found,) = ask(*command(tiny, "resnet8"), "--data", tiny.npz, "-o", "a.emb")["networks"]
    network = read_network(tiny.networks["resnet8"], candidates=tiny.space.architectures)
    with Runner("cpu") as runner:
        assert found["target_accuracy"] == scores(network.architecture, network.weights, tiny.data, runner)["test"]


def test_the_rows_of_a_pipe_have_the_values(tiny: Tiny, work: Path, rows: Rows) -> None:
    (row,) = rows(*command(tiny, "lenetlike"), "--data", tiny.npz, "-o", "a.emb")
    assert row["network"] == str(tiny.networks["lenetlike"])
    assert (row["arch"], row["parameters"], row["embedding"], row["refined"]) == ("lenetlike", "20791", "64", "2")
    assert 0 <= float(row["target"]) <= 1


def test_without_images_it_encodes_and_says_what_it_left_out(tiny: Tiny, work: Path, cli: Cli) -> None:
    result = cli(*command(tiny, "lenetlike"), "-o", "a.emb")
    assert result.exit_code == 0
    note = "No accuracy: the images of npz:tiny.npz are not available. Name them with --data, e.g. --data FILE.npz."
    assert note in result.stderr
    assert load_embeddings(Path("a.emb")).origins[0].how == "encoded"


def test_the_space_s_own_images_are_used_where_they_are_at_hand(
    tiny: Tiny, work: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(tiny.npz, "tiny.npz")
    (found,) = ask(*command(tiny, "lenetlike"), "-o", "a.emb")["networks"]
    assert found["refine_steps"] == 2 and "agreement" in found


@pytest.mark.parametrize("content", ["other images", "no images"])
def test_other_images_of_the_same_name_are_not_taken_for_the_space_s(
    tiny: Tiny, work: Path, ask: Ask, content: str
) -> None:
    import numpy as np

    arrays = dict(np.load(tiny.npz))
    arrays["train_images"] = 255 - arrays["train_images"]
    np.savez("tiny.npz", **(arrays if content == "other images" else {"a": np.zeros(3)}))
    (found,) = ask(*command(tiny, "lenetlike"), "-o", "a.emb")["networks"]
    assert found["refine_steps"] == 0 and "agreement" not in found


def test_refining_is_asked_for_and_counted(tiny: Tiny, work: Path, ask: Ask) -> None:
    (found,) = ask(*command(tiny, "lenetlike"), "--data", tiny.npz, "-o", "a.emb", "--refine", 3)["networks"]
    assert found["refine_steps"] == 3
    assert load_embeddings(Path("a.emb")).origins[0].steps == 3
    (plain,) = ask(*command(tiny, "lenetlike"), "--data", tiny.npz, "-o", "b.emb", "--refine", 0)["networks"]
    assert plain["refine_steps"] == 0
    assert not torch.equal(*(load_embeddings(Path(f)).vectors for f in ("a.emb", "b.emb")))


def test_refining_without_images_is_refused(tiny: Tiny, work: Path, refused: Refused) -> None:
    said = refused(2, *command(tiny, "lenetlike"), "-o", "a.emb", "--refine", 3)
    assert "refining needs images" in said and "npz:tiny.npz" in said and "--refine 0" in said


def test_company_and_repetition_change_nothing(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask) -> None:
    ask(*command(tiny, "resnet8", "lenetlike", "lenetlike"), "-o", "three.emb")
    three = load_embeddings(Path("three.emb")).vectors
    alone = {a: load_embeddings(emb[a]).vectors[0] for a in ("lenetlike", "resnet8")}
    assert torch.equal(three, torch.stack([alone["resnet8"], alone["lenetlike"], alone["lenetlike"]]))


def test_the_same_command_gives_the_same_bytes(tiny: Tiny, work: Path, ask: Ask) -> None:
    for output in ("a.emb", "b.emb"):
        ask(*command(tiny, "lenetlike", "vanillacnn"), "--data", tiny.npz, "-o", output, "--seed", 5)
    assert Path("a.emb").read_bytes() == Path("b.emb").read_bytes()


def test_a_wrapped_and_nested_checkpoint_is_the_same_network(
    tiny: Tiny, emb: dict[str, Path], work: Path, cli: Cli
) -> None:
    state = load_file(tiny.networks["lenetlike"])
    torch.save({"epoch": 3, "state_dict": {f"module.{n}": t for n, t in state.items()}}, "wrapped.pt")
    result = cli("encode", "wrapped.pt", "--space", tiny.space.path, "-o", "a.emb", "-v")
    assert result.exit_code == 0
    assert "wrapped.pt: The state dict was found under 'state_dict'." in result.stderr
    assert "'module.' was cut off" in result.stderr
    assert torch.equal(load_embeddings(Path("a.emb")).vectors, load_embeddings(emb["lenetlike"]).vectors)


def test_of_two_state_dicts_one_is_chosen_with_key(tiny: Tiny, work: Path, refused: Refused, ask: Ask) -> None:
    state = load_file(tiny.networks["lenetlike"])
    torch.save({"model": state, "model_ema": {n: t + 1 for n, t in state.items()}}, "two.pt")
    options = ["encode", "two.pt", "--space", tiny.space.path, "-o", "a.emb"]
    said = refused(3, *options)
    assert "'model'" in said and "'model_ema'" in said and "--key" in said
    assert ask(*options, "--key", "model_ema")["networks"][0]["arch"] == "lenetlike"


def test_a_dry_run_writes_nothing(tiny: Tiny, work: Path, cli: Cli, ask: Ask) -> None:
    found = ask(*command(tiny, "lenetlike"), "--data", tiny.npz, "-o", "a.emb", "--dry-run")
    assert found["dry_run"] is True and found["networks"][0]["arch"] == "lenetlike"
    result = cli(*command(tiny, "lenetlike"), "-o", "a.emb", "--dry-run")
    assert "a.emb would be written." in result.stderr
    assert list(work.iterdir()) == []


def test_an_existing_output_is_kept_unless_forced(tiny: Tiny, work: Path, refused: Refused, ask: Ask) -> None:
    Path("a.emb").write_text("precious")
    assert "a.emb exists already" in refused(2, *command(tiny, "lenetlike"), "-o", "a.emb")
    ask(*command(tiny, "lenetlike"), "-o", "a.emb", "--force")
    assert len(load_embeddings(Path("a.emb")).vectors) == 1


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "a"])
def test_embeddings_are_called_so(tiny: Tiny, work: Path, refused: Refused, name: str) -> None:
    said = refused(2, *command(tiny, "lenetlike"), "-o", name)
    assert "embeddings are written as .emb" in said and "a.emb" in said


def test_an_input_is_not_overwritten_even_with_force(tiny: Tiny, work: Path, refused: Refused) -> None:
    shutil.copy(tiny.networks["lenetlike"], "net.emb")
    said = refused(2, "encode", "net.emb", "--space", tiny.space.path, "-o", "net.emb", "--force")
    assert "net.emb is an input" in said


def test_netspace_s_own_files_are_no_checkpoints(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused
) -> None:
    said = refused(3, "encode", emb["lenetlike"], "--space", tiny.space.path, "-o", "a.emb")
    assert "this is an embedding file, not a checkpoint" in said and "netspace decode" in said
    said = refused(3, "encode", tiny.space.path, "--space", tiny.space.path, "-o", "a.emb")
    assert "this is a space, not a checkpoint" in said


def test_an_architecture_that_the_space_lacks_is_refused_with_both(tiny: Tiny, work: Path, refused: Refused) -> None:
    said = refused(3, "encode", tiny.networks["vanillacnn"], "--space", tiny.single_space.path, "-o", "a.emb")
    assert "a vanillacnn for 1x8x8, 3 classes; space 'tiny' has lenetlike for 1x8x8, 3 classes" in said
    assert "--space" in said


def test_an_embedding_that_the_space_takes_for_another_architecture_is_said(
    tiny: Tiny, work: Path, cli: Cli, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is scored and decoded as what was encoded: the note says that the classifier differs."""
    wrong = tiny.space.model.architecture("vanillacnn")
    monkeypatch.setattr(SpaceModel, "recognise", lambda self, rows: [wrong] * len(rows))
    result = cli(*command(tiny, "lenetlike"), "--data", tiny.npz, "--refine", "0", "-o", "a.emb")
    assert "recognises this embedding as vanillacnn, not lenetlike" in result.stderr
    found = ask("decode", "a.emb", "--space", tiny.space.path, "-o", "a.pt")
    assert [n["arch"] for n in found["networks"]] == ["lenetlike"]
    found = ask("decode", "a.emb", "--space", tiny.space.path, "-o", "b.pt", "--recognised")
    assert [n["arch"] for n in found["networks"]] == ["vanillacnn"]


def test_the_space_s_normalisation_may_be_named_and_is_recorded(tiny: Tiny, work: Path, ask: Ask) -> None:
    mean, std = tiny.data.mean, tiny.data.std
    asked = [*command(tiny, "lenetlike"), "--refine", 0, "--data", tiny.npz]
    for way in (("--normalise", "own"), ("--mean", f"{mean[0]:.3f}", "--std", f"{std[0]:.3f}"), ()):
        ask(*asked, *way, "-o", "a.emb", "--force")
        found = load_embeddings(Path("a.emb")).normalisation
        assert found is not None and found == (mean, std)
    shown = ask("inspect", "a.emb")
    assert (shown["mean"], shown["std"]) == (f"{mean[0]:.4g}", f"{std[0]:.4g}")


def test_another_normalisation_than_the_space_s_is_refused(tiny: Tiny, work: Path, refused: Refused) -> None:
    asked = [*command(tiny, "lenetlike"), "-o", "a.emb"]
    said = refused(2, *asked, "--data", tiny.npz, "--normalise", "half")
    assert f"by a mean of {tiny.data.mean[0]:.3g} and a deviation of {tiny.data.std[0]:.3g}" in said
    assert "those given by a mean of 0.5 and a deviation of 0.5" in said
    assert "a mean of 0, 0, 0" in refused(2, *asked, "--data", tiny.npz, "--mean", "0,0,0", "--std", "1")
    assert "its images are not available" in refused(2, *asked, "--normalise", "own")
    assert "only one is given" in refused(2, *asked, "--mean", "0.5")
    assert not Path("a.emb").exists()
