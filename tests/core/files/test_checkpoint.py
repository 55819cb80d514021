"""Anybody's checkpoint comes out in one form; what is not clear is refused."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from netspace_models.errors import CheckpointError, ConfigError, NotFinite, OutputExists
from torch import Tensor, nn

from netspace_cli.core.files.checkpoint import check_finite, read_checkpoint, write_checkpoint
from netspace_cli.core.files.safetensors_file import read_safetensors, write_safetensors

State = dict[str, Tensor]


def tiny() -> State:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    return dict(net.state_dict())


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def same(found: State, expected: State) -> bool:
    return found.keys() == expected.keys() and all(
        found[n].dtype == expected[n].dtype and torch.equal(found[n], expected[n]) for n in expected
    )


NESTINGS: dict[str, Callable[[State], object]] = {
    "flat": lambda s: s,
    "ordered": OrderedDict,
    "state_dict": lambda s: {
        "epoch": 3,
        "state_dict": s,
        "optimizer": {"state": {0: {"step": torch.ones(1)}}},
    },
    "model": lambda s: {"model": s, "metrics": {"accuracy": torch.tensor(0.9)}, "best": torch.tensor(1.0)},
    "ema": lambda s: {"state_dict_ema": s, "args": argparse.Namespace(lr=0.1)},
    "twice": lambda s: {"model": {"state_dict": s, "epoch": 1}},
    "unusual name": lambda s: {"lenet": s, "epoch": 1},
    "lightning": lambda s: {
        "state_dict": {f"model.{n}": t for n, t in s.items()},
        "pytorch-lightning_version": "2.5",
        "hparams": {"lr": np.float64(0.1)},
    },
}


@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module."]
)
@pytest.mark.parametrize("nesting", NESTINGS)
def test_wrapping_makes_no_difference(tmp_path: Path, nesting: str, prefix: str) -> None:
    path = saved(tmp_path / "a.pt", NESTINGS[nesting]({prefix + n: t for n, t in tiny().items()}))
    found = read_checkpoint(path)
    assert same(found.state, tiny())
    assert found.prefix == ("model." if nesting == "lightning" else "") + prefix
    assert (f"{found.prefix!r} was cut off" in " ".join(found.notes)) == bool(found.prefix)
    assert ("found under" in " ".join(found.notes)) == (nesting not in ("flat", "ordered"))


def test_prefixes_are_cut_from_safetensors_too(tmp_path: Path) -> None:
    safetensors.torch.save_file({f"module.{n}": t for n, t in tiny().items()}, tmp_path / "a.safetensors")
    assert same(read_checkpoint(tmp_path / "a.safetensors").state, tiny())


@pytest.mark.parametrize(
    "names",
    [
        ["module.weight", "head.weight"],  # a submodule really called so, beside others
        ["module.", "module.weight"],
        ["net.0.weight", "net.0.bias"],  # flat: the network's own attribute
    ],
)
def test_names_that_are_the_networks_own_are_kept(tmp_path: Path, names: list[str]) -> None:
    path = saved(tmp_path / "a.pt", {name: torch.ones(1) for name in names})
    found = read_checkpoint(path)
    assert list(found.state) == names
    assert found.prefix == ""


def test_the_format_is_told_by_content(tmp_path: Path) -> None:
    saved(tmp_path / "a.safetensors", tiny())
    safetensors.torch.save_file(tiny(), tmp_path / "b.pt")
    torch.save(tiny(), tmp_path / "c.pth.tar", _use_new_zipfile_serialization=False)
    for name, format_ in (("a.safetensors", "pt"), ("b.pt", "safetensors"), ("c.pth.tar", "pt")):
        found = read_checkpoint(tmp_path / name)
        assert found.format == format_
        assert same(found.state, tiny())


@pytest.mark.parametrize("length", [128, 35_615, 6_838_850])
def test_a_header_whose_length_looks_like_another_format_is_read(tmp_path: Path, length: int) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).ljust(length).encode()
    (tmp_path / "a.safetensors").write_bytes(length.to_bytes(8, "little") + header + bytes(4))
    assert read_checkpoint(tmp_path / "a.safetensors").state["a"].shape == (1,)
    assert read_safetensors(tmp_path / "a.safetensors")[0].keys() == {"a"}


def test_two_state_dicts_are_refused_until_one_is_chosen(tmp_path: Path) -> None:
    other = {n: t + 1 for n, t in tiny().items()}
    path = saved(tmp_path / "a.pt", {"model": tiny(), "model_ema": other})
    with pytest.raises(
        CheckpointError, match=r"a\.pt: there are 2 state dicts in it: 'model_ema', 'model'.*`key=\"model_ema\"`"
    ):
        read_checkpoint(path)
    assert same(read_checkpoint(path, key="model").state, tiny())
    assert same(read_checkpoint(path, key="model_ema").state, other)


def test_state_dicts_under_numbers_need_a_key(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {0: tiny(), 1: {n: t + 1 for n, t in tiny().items()}})
    with pytest.raises(CheckpointError, match="there are 2 state dicts"):
        read_checkpoint(path)
    assert same(read_checkpoint(path, key="0").state, tiny())


def test_one_state_dict_under_two_names_is_one(tmp_path: Path) -> None:
    state = tiny()
    assert same(read_checkpoint(saved(tmp_path / "a.pt", {"model": state, "net": state})).state, tiny())


def test_dotted_keys(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"run": {"best.model": {"weights": tiny()}}, "last": tiny()})
    for key in ("run.best.model.weights", "run.best.model"):
        assert same(read_checkpoint(path, key=key).state, tiny())
    with pytest.raises(CheckpointError, match=r"no key 'run.worst' in it. It has 'run' \(dict\), 'last' \(dict\)"):
        read_checkpoint(path, key="run.worst")
    safetensors.torch.save_file(tiny(), tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="a safetensors file is flat, it has no key 'model'"):
        read_checkpoint(tmp_path / "a.safetensors", key="model")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "nothing at all"),
        (torch.ones(3), "a Tensor"),
        ([1, 2], "a list"),
        ({"epoch": 3, "lr": 0.1}, r"'epoch' \(int\)"),
        ({"weight": torch.ones(1), "epoch": 3}, r"'epoch' \(int\), 'weight' \(Tensor\)"),
        ({"weight": np.ones(2), "bias": torch.ones(1)}, r"'weight' \(numpy\.\w*\.multiarray\._reconstruct\)"),
        ({"model": {1: torch.ones(1)}}, r"'model' \(dict\)"),
    ],
)
def test_what_is_no_state_dict_is_described(tmp_path: Path, content: object, reason: str) -> None:
    with pytest.raises(CheckpointError, match=rf"is not a state dict .*{reason}"):
        read_checkpoint(saved(tmp_path / "a.pt", content))


def test_a_dict_within_itself_is_no_trap(tmp_path: Path) -> None:
    knot: dict[str, object] = {"epoch": 1}
    for name in ("model", "state_dict", "net", "params"):
        knot[name] = knot
    with pytest.raises(CheckpointError, match="is not a state dict"):
        read_checkpoint(saved(tmp_path / "a.pt", knot))


def test_extra_state_is_left_out_and_noted(tmp_path: Path) -> None:
    found = read_checkpoint(saved(tmp_path / "a.pt", {**tiny(), "0._extra_state": {"scale": 1}}))
    assert same(found.state, tiny())
    assert "1 entries of extra state were left out." in found.notes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32_with_a_note(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {n: t.to(dtype) if t.is_floating_point() else t for n, t in tiny().items()}
    found = read_checkpoint(saved(tmp_path / "a.pt", state))
    assert {t.dtype for t in found.state.values()} == {torch.float32, torch.int64}
    assert all(torch.equal(found.state[n], state[n].to(found.state[n].dtype)) for n in state)
    assert found.notes == (f"8 tensors were converted from {str(dtype)[6:]} to float32.",)


def test_a_float64_beyond_float32_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"w": torch.tensor([1e300, 1.0], dtype=torch.float64)})
    with pytest.raises(NotFinite, match=r"a\.pt: 1 float64 values are too large for float32"):
        read_checkpoint(path)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.bool])
def test_integers_are_kept(tmp_path: Path, dtype: torch.dtype) -> None:
    path = saved(tmp_path / "a.pt", {"n": torch.ones(2, dtype=dtype)})
    assert read_checkpoint(path).state["n"].dtype == dtype
    assert read_checkpoint(path).notes == ()


@pytest.mark.filterwarnings("ignore")  # quantised tensors are about to leave torch, sparse ones are a beta
@pytest.mark.parametrize(
    ("make", "called"),
    [
        (lambda: torch.ones(2, dtype=torch.complex64), "complex64"),
        (lambda: torch.ones(2).to(torch.float8_e4m3fn), "float8_e4m3fn"),
        (lambda: torch.ones(2).to(torch.float8_e5m2), "float8_e5m2"),
        (lambda: torch.eye(3).to_sparse(), r"sparse or nested \(sparse_coo\)"),
        (lambda: torch.eye(3).to_sparse_csr(), r"sparse or nested \(sparse_csr\)"),
        (lambda: torch.ones(2, device="meta"), "a meta tensor"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), r"quantised \(qint8\)"),
    ],
)
def test_kinds_of_tensors_that_are_refused_by_name(tmp_path: Path, make: Callable[[], Tensor], called: str) -> None:
    path = saved(tmp_path / "a.pt", {"w": torch.ones(1), "odd": make()})
    with pytest.raises(CheckpointError, match=rf"a\.pt: the tensor 'odd' is {called}.*does not read.*dense float32"):
        read_checkpoint(path)


def test_views_come_out_compact_and_ties_stay_tied(tmp_path: Path) -> None:
    big = torch.arange(1000.0)
    tied = nn.Parameter(torch.arange(6.0).reshape(2, 3))
    state = {
        "slice": big[10:13],
        "transposed": tied.t(),
        "a": tied,
        "b": tied,
        "last": torch.ones(1, 2, 3, 3),
    }
    state["last"] = state["last"].to(memory_format=torch.channels_last)
    found = read_checkpoint(saved(tmp_path / "a.pt", state)).state
    assert same(found, {n: t.detach() for n, t in state.items()})
    for tensor in found.values():
        assert tensor.is_contiguous()
        assert not tensor.requires_grad
        assert tensor.untyped_storage().nbytes() == 4 * tensor.numel()
    assert found["a"].data_ptr() == found["b"].data_ptr() != found["transposed"].data_ptr()


def test_variances_below_zero_are_refused_by_name() -> None:
    state = {"bn.running_mean": -torch.ones(4), "bn.running_var": torch.zeros(4)}
    check_finite(state, Path("a.pt"))
    state["bn.running_var"][1] = -2
    with pytest.raises(
        CheckpointError, match=r"a.pt: 1 of 4 variances in bn.running_var are below zero, the lowest is -2"
    ):
        check_finite(state, Path("a.pt"))


def test_check_finite_names_the_tensors_and_counts() -> None:
    state = {f"w{i}": torch.ones(4) for i in range(8)}
    check_finite(state, Path("a.pt"))
    check_finite({"n": torch.ones(2, dtype=torch.int64)}, Path("a.pt"))
    state["w1"][:2] = float("nan")
    state["w1"][3] = float("-inf")
    with pytest.raises(NotFinite) as caught:
        check_finite(state, Path("a.pt"))
    text = str(caught.value)
    assert text.startswith("a.pt: 1 of 8 tensors have values that are not finite: w1 (2 NaN, 1 infinite of 4).")
    for tensor in state.values():
        tensor[0] = float("inf")
    with pytest.raises(NotFinite, match=r"8 of 8 .* w4 .* and 3 more"):
        check_finite(state, Path("a.pt"))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".safetensors", ".PT"])
def test_written_checkpoints_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    state = {
        **tiny(),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "empty": torch.ones(0, 2),
        "one": torch.tensor(2.0),
    }
    write_checkpoint(path, state)
    plain = safetensors.torch.load_file(path) if suffix == ".safetensors" else torch.load(path, weights_only=True)
    assert same(plain, state)
    found = read_checkpoint(path)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.metadata == ({"format": "pt"} if suffix == ".safetensors" else {})
    assert found.path == path
    with pytest.raises(OutputExists):
        write_checkpoint(path, state)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_writing_over_the_file_just_read_is_right(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_checkpoint(path, tiny())
    read = read_checkpoint(path).state
    write_checkpoint(path, read, force=True)
    assert same(read_checkpoint(path).state, tiny())


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_cut_short_after_reading_harms_nothing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_checkpoint(path, tiny())
    read = read_checkpoint(path).state
    path.write_bytes(b"")  # the same inode: a mapped file would now kill the process
    assert same(read, tiny())


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_the_same_content_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    metadata = {word: word for word in ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"]}
    paths = [tmp_path / f"{name}{suffix}" for name in ("a", "other name")]
    for path, words in zip(paths, (metadata, dict(reversed(metadata.items()))), strict=True):
        write_checkpoint(path, tiny(), metadata=words)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_tied_and_strided_tensors_are_written_as_they_look(tmp_path: Path) -> None:
    tied = nn.Parameter(torch.arange(6.0).reshape(2, 3))
    state: State = {"a": tied, "b": tied, "t": tied.t(), "s": torch.arange(100.0)[::10]}
    for path in (tmp_path / "a.safetensors", tmp_path / "a.pt"):
        write_checkpoint(path, state)
        assert same(read_checkpoint(path).state, {n: t.detach() for n, t in state.items()})
        assert path.stat().st_size < 4000


def test_safetensors_metadata_and_dtypes_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.emb"
    tensors = {
        str(d)[6:]: torch.zeros(3, dtype=d)
        for d in (torch.bool, torch.uint8, torch.int32, torch.float16, torch.float64, torch.complex64)
    }
    metadata = {"netspace.arch": '{"name": "lenetlike"}', "netspace.note": 'quotes " \\ \n é €'}
    write_safetensors(path, tensors, metadata, force=False)
    found, words = read_safetensors(path)
    assert same(found, tensors)
    assert words == metadata
    with safetensors.safe_open(path, "pt") as independent:
        assert independent.metadata() == metadata
        assert set(independent.keys()) == set(tensors)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("name", ["", "a\0b", "x" * 513, "../../x", "/etc/x", "__metadata__"])
def test_names_that_would_not_be_read_are_not_written(tmp_path: Path, name: str, suffix: str) -> None:
    with pytest.raises(ConfigError, match="cannot be written: the tensor name"):
        write_checkpoint(tmp_path / f"a{suffix}", {name: torch.ones(1)})
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown checkpoint extension '\.onnx'. Use one of \.safetensors"):
        write_checkpoint(tmp_path / "a.onnx", tiny())
    with pytest.raises(ConfigError, match=r"the format cannot hold w \(torch.float32, torch.sparse_coo\)"):
        write_checkpoint(tmp_path / "a.safetensors", {"w": torch.eye(2).to_sparse()})
    with pytest.raises(TypeError, match="metadata must be text by key; 'seed' has a int"):
        write_safetensors(tmp_path / "a.safetensors", tiny(), {"seed": 1}, force=False)  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []


def test_tensors_of_a_safetensors_file_come_in_the_order_of_their_data(tmp_path: Path) -> None:
    state = {f"layer{i}.weight": torch.full((i + 1,), float(i)) for i in (4, 2, 9, 0, 7, 1, 3, 8, 6, 5)}
    write_checkpoint(tmp_path / "a.safetensors", state)
    orders = {tuple(read_checkpoint(tmp_path / "a.safetensors").state) for _ in range(5)}
    assert orders == {tuple(f"layer{i}.weight" for i in range(10))}


def test_a_file_by_torch_carries_text_and_is_a_plain_state_dict(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    metadata = {"netspace.arch": "net", "format": "pt"}
    write_checkpoint(tmp_path / "a.pt", net.state_dict(), metadata=metadata)
    assert read_checkpoint(tmp_path / "a.pt").metadata == {"netspace.arch": "net"}
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).load_state_dict(state, strict=True)
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "b.pt")
    assert read_checkpoint(tmp_path / "b.pt").metadata == {"netspace.arch": "net"}


@pytest.mark.parametrize(
    "text", [{"": {"netspace.arch": 3}}, {"": {3: "a"}}, {"": {"version": "1"}}, {"": [1]}, [1], {}]
)
def test_other_text_in_a_state_dict_is_passed_over(tmp_path: Path, text: object) -> None:
    state = OrderedDict(nn.Linear(2, 3).state_dict())
    state._metadata = text  # type: ignore[attr-defined]
    torch.save(state, tmp_path / "a.pt")
    assert read_checkpoint(tmp_path / "a.pt").metadata == {}
