"""Damaged, foreign and malicious files: named with a reason, never executed, never a crash or a hang."""

from __future__ import annotations

import ast
import gzip
import io
import json
import os
import pickle
import random
import resource
import struct
import tarfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netspace_models
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from netspace_models.errors import CheckpointError, NotFinite
from torch import Tensor

import netspace_cli
from netspace_cli.core.files.checkpoint import read_checkpoint
from netspace_cli.core.files.safetensors_file import read_safetensors
from netspace_cli.core.files.torch_file import read_torch_file

STATE = {"conv.weight": torch.arange(18.0).reshape(2, 1, 3, 3), "conv.bias": torch.zeros(2), "n": torch.tensor(3)}


def torch_bytes(content: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    """The message with which a file is refused."""
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


FORMATS: dict[str, Callable[[], bytes]] = {
    "pt": lambda: torch_bytes(STATE),
    "legacy": lambda: torch_bytes(STATE, _use_new_zipfile_serialization=False),
    "safetensors": lambda: safetensors.torch.save(STATE, {"format": "pt"}),
}


def suffix_of(form: str) -> str:
    return ".safetensors" if form == "safetensors" else ".pt"


# Damaged


@pytest.mark.parametrize("form", FORMATS)
def test_a_truncated_file_is_called_so(tmp_path: Path, form: str) -> None:
    whole = FORMATS[form]()
    cuts = {1, 3, 4, 7, 8, 9, 15, 16, 17, 30, 64, len(whole) // 2, len(whole) - 23, len(whole) - 1}
    cuts |= set(random.Random(0).sample(range(1, len(whole)), 20))
    if form == "safetensors":
        end = 8 + int.from_bytes(whole[:8], "little")
        cuts |= {end - 1, end, end + 1}
    for cut in sorted(cuts):
        assert "truncated" in refusal(written(tmp_path / f"a{suffix_of(form)}", whole[:cut])), cut


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "this is empty, not a checkpoint. Copy or download"),
        (b"abc", "only 3 bytes"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "this is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "a git-lfs pointer.*git lfs pull"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG picture"),
        (gzip.compress(b"weights" * 9, mtime=0), "a gzip archive.*Unpack it first"),
        (b"just some text here", "this is text"),
        (bytes(4096), "nothing but zero bytes"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, content: bytes, expected: str, suffix: str) -> None:
    with pytest.raises(CheckpointError, match=expected):
        read_checkpoint(written(tmp_path / f"a{suffix}", content))


def test_other_archives_are_named(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "weights.npz", a=np.ones(2))
    assert "a NumPy archive (.npz)" in refusal((tmp_path / "weights.npz").rename(tmp_path / "a.pt"))
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        archive.writestr("run/a.pt", b"x")
    assert "a zip archive with 0 data.pkl" in refusal(tmp_path / "b.pt")
    with tarfile.open(tmp_path / "c.pt", "w") as tar:
        tar.add(tmp_path / "a.pt", "a.pt")
    assert "a tar archive" in refusal(tmp_path / "c.pt")


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_programs_are_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "a.pt")
    assert "a TorchScript program" in refusal(tmp_path / "a.pt")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    assert "this is a named pipe" in refusal(tmp_path / "pipe.pt")
    assert "this is a directory" in refusal(tmp_path)
    assert "no such file. Check the path" in refusal(tmp_path / "missing.pt")
    assert "this is a device" in refusal(Path("/dev/zero"))


# safetensors headers


def header_bytes(content: object, data: bytes = b"") -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape: list[object], begin: int, end: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


DUPLICATE = (
    b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
)
BAD_HEADERS: dict[str, tuple[bytes, str]] = {
    "length 2^62": (struct.pack("<Q", 2**62) + b"{}" + bytes(64), "not a safetensors file: its header takes 4,611,"),
    "not UTF-8": (header_bytes(b'{"\xff":1}          '), "damaged header: not JSON"),
    "not JSON": (header_bytes(b'{"a":               '), "damaged header: not JSON"),
    "not an object": (header_bytes(b"[1, 2, 3, 4, 5, 6, 7]", bytes(8)), "its header is not JSON"),
    "deep": (header_bytes(b'{"a":' + b"[" * 100_000), "damaged header: not JSON"),
    "twice": (header_bytes(DUPLICATE, bytes(4)), "'a' appears twice"),
    "trailing": (header_bytes({"a": entry([1], 0, 4)}, bytes(9)), "5 bytes follow its last tensor"),
    "missing data": (header_bytes({"a": entry([4], 0, 16)}, bytes(9)), "truncated: its tensors take 16 bytes"),
    "overlap": (header_bytes({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)), "'b' overlaps"),
    "hole": (header_bytes({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)), "'b' leaves a hole"),
    "overflow": (header_bytes({"a": entry([2**40, 2**40], 0, 4)}, bytes(4)), "'a' takes 4,835,703,278,458,516,"),
    "wrapped": (header_bytes({"a": entry([2**62, 4], 0, 0)}), "'a' takes"),
    "negative": (header_bytes({"a": entry([-1], 0, 4)}, bytes(4)), "shape of 'a'"),
    "true": (header_bytes({"a": entry([True], 0, 4)}, bytes(4)), "shape of 'a'"),
    "offsets": (header_bytes({"a": {**entry([1], 0, 4), "data_offsets": [0]}}, bytes(4)), "offsets of 'a'"),
    "backwards": (header_bytes({"a": entry([1], 4, 0)}, bytes(4)), "takes 4 bytes by its shape, -4 by"),
    "dtype": (header_bytes({"a": entry([1], 0, 4, "F31")}, bytes(4)), "unknown dtype 'F31' of 'a'; known: F64"),
    "no dtype": (header_bytes({"a": {"shape": [1]}}, bytes(4)), "entry of 'a'"),
    "entry": (header_bytes({"a": 1, "bbbbbbbbb": 2}), "entry of 'a'"),
    "metadata": (header_bytes({"__metadata__": {"seed": 1}, "a": entry([0], 0, 0)}), "'seed' is a int, not text"),
    "metadata list": (header_bytes({"__metadata__": [1], "a": entry([0], 0, 0)}), "metadata is a list"),
    "no tensors": (header_bytes({"__metadata__": {"a": "b"}}), "no tensors in it"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_bad_headers_are_refused_with_the_reason(tmp_path: Path, case: str) -> None:
    content, reason = BAD_HEADERS[case]
    assert reason in refusal(written(tmp_path / "a.safetensors", content))


def test_a_huge_header_is_refused_at_once_and_unread(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", struct.pack("<Q", 200_000_000) + b"{")
    os.truncate(path, 200_000_100)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    assert "its header takes 200,000,000 bytes, the limit is 100,000,000" in refusal(path)
    assert time.perf_counter() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


# Malicious pickles


class Call:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def attacks(canary: Path) -> dict[str, object]:
    touch = f"touch {canary}"
    return {
        "posix.system": Call(os.system, touch),
        "builtins.eval": Call(eval, f"open({str(canary)!r}, 'w')"),
        "builtins.getattr": Call(getattr, Path, "cwd"),
        "method": Call(Path.touch, Path(canary)),
        "builtins.exec": {"state_dict": {**STATE, "x": [{"y": Call(exec, f"open({str(canary)!r}, 'w')")}]}},
        "torch.hub": Call(torch.hub.download_url_to_file, "file:///etc/hostname", str(canary)),
        "numpy": Call(np.save, str(canary), 1),
    }


CONTAINERS: dict[str, Callable[[object], bytes]] = {
    "zip": torch_bytes,
    "legacy": lambda content: torch_bytes(content, _use_new_zipfile_serialization=False),
    "raw 2": lambda content: pickle.dumps(content, protocol=2),
    "raw 4": lambda content: pickle.dumps(content, protocol=4),
}


@pytest.mark.parametrize("unsafe_by_environment", [False, True])
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("attack", sorted(attacks(Path("x"))))
def test_nothing_in_a_file_is_executed(
    tmp_path: Path, attack: str, container: str, unsafe_by_environment: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if unsafe_by_environment:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    canary = tmp_path / "canary"
    path = written(tmp_path / "a.pt", CONTAINERS[container](attacks(canary)[attack]))
    message = refusal(path)
    assert not canary.exists()
    assert "it asks for" in message
    assert "Nothing in it was run" in message
    if attack.startswith(("posix.system", "builtins.")):
        assert attack in message


def test_the_attacks_do_work_where_nothing_guards(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(attacks(tmp_path / "canary")["posix.system"]))  # noqa: S301
    assert (tmp_path / "canary").exists()


def test_a_pickle_in_text_form_is_not_even_a_pickle(tmp_path: Path) -> None:
    program = f"cos\nsystem\n(S'touch {tmp_path}/canary'\ntR.".encode()
    assert "this is text" in refusal(written(tmp_path / "a.pt", program))
    assert not (tmp_path / "canary").exists()


def test_a_pickled_network_is_refused_with_what_it_asks_for(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pt")
    message = refusal(tmp_path / "a.pt")
    assert "more than weights; it asks for torch.nn.modules.linear.Linear" in message
    assert "torch.save(model.state_dict(), 'weights.pt')" in message


def test_a_long_list_of_strange_names_stays_readable(tmp_path: Path) -> None:
    globals_ = b"".join(b"c\x1b[31mred%d\nname\n0" % i for i in range(40))
    message = refusal(written(tmp_path / "a.pt", b"\x80\x02" + globals_ + b"N."))
    assert "\x1b" not in message
    assert "and 28 more" in message


def test_things_beside_the_weights_are_harmless_and_not_built(tmp_path: Path) -> None:
    allowed = set(torch.serialization.get_safe_globals())
    beside = {"path": Path("x"), "lr": np.float64(1), "curve": np.ones(3), "torch": torch.__version__}
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        torch.save({"state_dict": STATE, **beside}, tmp_path / "a.pt", **options)
        assert read_checkpoint(tmp_path / "a.pt").state.keys() == STATE.keys()
        content, _ = read_torch_file(tmp_path / "a.pt")
        assert isinstance(content, dict)
        assert not any(isinstance(content[name], Path | np.generic | np.ndarray) for name in beside)
    assert set(torch.serialization.get_safe_globals()) == allowed


def test_loading_is_never_retried_unsafely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    load = torch.load

    def noted(*arguments: Any, **options: Any) -> object:
        calls.append(options.get("weights_only"))
        return load(*arguments, **options)

    monkeypatch.setattr(torch, "load", noted)
    for content in (STATE, Call(os.system, "true"), torch.nn.Linear(1, 1)):
        path = written(tmp_path / "a.pt", torch_bytes(content))
        try:
            read_checkpoint(path)
        except CheckpointError:
            continue
    assert calls == [True, True, True]


def unsafe_loads(source: str) -> list[str]:
    """Calls in a program that could execute what a file holds."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if name.endswith(("pickle.load", "pickle.loads", "Unpickler", "joblib.load")):
            found.append(name)
        if name == "torch.load" and options.get("weights_only") != "True":
            found.append(ast.unparse(node))
        if options.get("allow_pickle", "False") != "False":
            found.append(ast.unparse(node))
    return found


def test_no_code_of_ours_loads_unsafely() -> None:
    assert unsafe_loads("torch.load(f); torch.load(f, weights_only=False); pickle.load(f)") != []
    for package in (netspace_cli, netspace_models):
        assert package.__file__
        for path in Path(package.__file__).parent.rglob("*.py"):
            assert unsafe_loads(path.read_text()) == [], path


# Files made to exhaust memory or the stack


def repacked(change: Callable[[zipfile.ZipInfo, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(torch_bytes(STATE))) as old, zipfile.ZipFile(out, "w", compression) as new:
        for record in old.infolist():
            new.writestr(record.filename, change(record, old.read(record)))
    return out.getvalue()


def test_a_compressed_record_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = torch_bytes({"w": torch.zeros(16_000_000)})
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bomb)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    assert len(out.getvalue()) < 100_000
    monkeypatch.setattr(torch, "load", None)
    assert "is compressed or encrypted" in refusal(written(tmp_path / "a.pt", out.getvalue()))


def test_records_larger_than_the_file_are_refused(tmp_path: Path) -> None:
    honest = repacked(lambda record, data: data)
    assert read_checkpoint(written(tmp_path / "a.pt", honest)).state.keys() == STATE.keys()
    central = honest.index(b"PK\x01\x02")
    lying = bytearray(honest)
    lying[central + 20 : central + 28] = struct.pack("<II", 10**9, 10**9)
    assert "its records claim 1,000," in refusal(written(tmp_path / "a.pt", bytes(lying)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_record_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt", torch_bytes(STATE))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
    assert "a record appears in it twice" in refusal(path)


def test_an_expanded_tensor_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt", torch_bytes({"w": torch.zeros(1).expand(10**9)}))
    assert path.stat().st_size < 2000
    message = refusal(path)
    assert "'w' has 1,000,000,000 elements in 4 bytes" in message
    assert "save tensor.contiguous()" in message


def test_many_views_of_one_storage_are_refused(tmp_path: Path) -> None:
    storage = torch.zeros(100_000)
    views = {f"w{i}": storage[i:] for i in range(500)}
    assert "bytes of memory, the file has" in refusal(written(tmp_path / "a.pt", torch_bytes(views)))


def test_a_tensor_that_the_file_does_not_hold_is_refused(tmp_path: Path) -> None:
    made = {"w": Call(torch.FloatTensor, 1_000)}
    assert "take 4,000 bytes of memory" in refusal(written(tmp_path / "a.pt", torch_bytes(made)))
    for count in (2_000, 10**12):
        path = written(tmp_path / "a.pt", torch_bytes({"w": Call(torch.FloatTensor, count)}))
        assert f"storages of {count:,} values or more in {path.stat().st_size:,} bytes" in refusal(path)


def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of this kind of storage once, which files still have
        storage = torch.zeros(3).storage()
    made = {"w": Call(torch._utils._rebuild_tensor_v2, storage, 0, (10,), (1,), False, {})}
    for form in ("zip", "legacy"):
        assert "truncated or damaged" in refusal(written(tmp_path / "a.pt", CONTAINERS[form](made)))


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_tuples_nested_deep_enough_to_crash_are_refused(tmp_path: Path, form: str) -> None:
    # {((((...)))): None}: the hash of such a key overflows the C stack.
    bomb = b"\x80\x02})" + b"\x85" * 1_000_000 + b"Ns."
    if form == "zip":
        content = repacked(lambda record, data: bomb if record.filename.endswith("data.pkl") else data)
    else:
        whole = torch_bytes({}, _use_new_zipfile_serialization=False)
        place = whole.index(b"\x80\x02}q\x00.")
        content = whole[:place] + bomb + whole[place:]
    assert "tuples nested more than 100 deep" in refusal(written(tmp_path / "a.pt", content))


# Names


@pytest.mark.parametrize("form", ["pt", "safetensors"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a\0b", "has control characters"),
        ("\x1b[31mred", "has control characters"),
        ("x" * 5000, "has 5,000 characters, the limit is 512"),
        ("../../etc/passwd", "leads elsewhere"),
        ("a/../b", "leads elsewhere"),
        ("a\\..\\b", "leads elsewhere"),
        ("/etc/passwd", "leads elsewhere"),
        ("", "is empty"),
    ],
)
def test_absurd_names_are_refused(tmp_path: Path, name: str, reason: str, form: str) -> None:
    state: dict[str, Tensor] = {name: torch.ones(1), "w": torch.ones(1)}
    content = torch_bytes(state) if form == "pt" else safetensors.torch.save(state)
    message = refusal(written(tmp_path / f"a{suffix_of(form)}", content))
    assert reason in message
    assert "\0" not in message and "\x1b" not in message and len(message) < 500


def test_ordinary_names_are_not_absurd(tmp_path: Path) -> None:
    state = {"layer1.0.conv..weight": torch.ones(1), "blöcke/1/w": torch.ones(1), "a b:c": torch.ones(1)}
    assert read_checkpoint(written(tmp_path / "a.pt", torch_bytes(state))).state.keys() == state.keys()


# Fuzz: only CheckpointError (or NotFinite) escapes

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def survives(path: Path) -> None:
    try:
        read_checkpoint(path)
    except (CheckpointError, NotFinite) as refused:
        assert refused.exit_code == 3


@pytest.mark.parametrize("form", FORMATS)
@FUZZ
@given(data=st.data())
def test_flipped_bytes(tmp_path: Path, form: str, data: st.DataObject) -> None:
    content = bytearray(FORMATS[form]())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    survives(written(tmp_path / f"a{suffix_of(form)}", bytes(content)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BOOL", "I64", "F8_E4M3", "C64", "X"]) | json_values,
        "shape": st.lists(st.integers(-1, 4), max_size=3) | json_values,
        "data_offsets": st.lists(st.integers(-1, 40), min_size=2, max_size=2) | json_values,
    }
)


@FUZZ
@given(header=st.dictionaries(st.text(max_size=5) | st.just("__metadata__"), entries | json_values), rest=st.binary())
def test_arbitrary_headers(tmp_path: Path, header: dict[str, object], rest: bytes) -> None:
    path = written(tmp_path / "a.safetensors", header_bytes(header, rest))
    survives(path)
    try:
        read_safetensors(path)
    except CheckpointError as refused:
        assert str(path) in str(refused)


@FUZZ
@given(content=st.binary(max_size=200), start=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x04\x95"]))
def test_arbitrary_bytes(tmp_path: Path, content: bytes, start: bytes) -> None:
    survives(written(tmp_path / "a.pt", start + content))


@FUZZ
@given(program=st.binary(max_size=60))
def test_arbitrary_pickles_in_a_sound_zip(tmp_path: Path, program: bytes) -> None:
    content = repacked(lambda record, data: program if record.filename.endswith("data.pkl") else data)
    survives(written(tmp_path / "a.pt", content))
