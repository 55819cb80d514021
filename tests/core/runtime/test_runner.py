"""The runner: devices refused by name, random streams that depend on keys alone, batches that fit, threads."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models import sending
from netspace_models.errors import ConfigError, RunFailed
from torch import Tensor, nn

from netspace_cli.core.runtime.runner import Runner, has_bf16_arithmetic, kept_random_state


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("gpu", "unknown device 'gpu'"),
        ("", "unknown device ''"),
        ("meta", "does not run on 'meta'"),
        ("cuda:99", "cuda:99 was asked for; this machine has"),
    ],
)
def test_a_device_that_is_not_there_is_refused_by_name(device: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        Runner(device)
    assert "cpu" in refused.value.hint


def test_a_precision_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="unknown precision 'int8'") as refused:
        Runner("cpu", precision="int8")
    assert "bf16" in refused.value.hint
    with pytest.raises(ConfigError, match="fp16 is not for the processor"):
        Runner("cpu", precision="fp16")


@pytest.mark.parametrize(
    ("instructions", "quick"),
    [({"avx2": True}, False), ({"avx512_f": True, "avx512_bf16": True}, True), ({"neon": True, "bf16": True}, True)],
)
def test_bf16_is_warned_of_on_a_processor_that_has_no_such_arithmetic(
    monkeypatch: pytest.MonkeyPatch, instructions: dict[str, bool], quick: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
    said = Runner("cpu", precision="bf16").warning
    assert (said is None) == quick
    if said is not None:
        assert said.startswith("bf16 was asked for; this processor has no arithmetic for it (AVX512_BF16, AMX")
        assert "5.9 times as long" in said and said.endswith('Use `precision="float32"`.')
    assert Runner("cpu").warning is None


def test_older_torch_tells_of_bf16_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert has_bf16_arithmetic() in (True, False)


def test_no_threads_are_refused() -> None:
    with pytest.raises(ConfigError, match="0 processor threads"):
        Runner("cpu", threads=0)


def test_cuda_is_ready_before_its_memory_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process that has not touched the device, its memory has no statistics to reset: torch raises."""
    called: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "init", lambda: called.append("init"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: called.append(f"reset {device}"))
    with Runner("cuda"):
        assert called == ["init", "reset cuda:0"]


def _draw(runner: Runner, *keys: int | str) -> list[float]:
    return torch.rand(4, generator=runner.generator(*keys)).tolist()


def test_random_streams_are_a_function_of_seed_and_keys_alone() -> None:
    runner = Runner("cpu", seed=3)
    first = _draw(runner, "step", 7)
    for step in range(5):
        _draw(runner, "step", step)
    torch.manual_seed(99)
    assert _draw(runner, "step", 7) == first == _draw(Runner("cpu", seed=3), "step", 7)
    others = [_draw(runner, "step", 8), _draw(runner, "zoo", 7), _draw(runner, "step", "7"), _draw(runner, "step7")]
    others += [_draw(Runner("cpu", seed=4), "step", 7), _draw(runner), _draw(runner, 7, "step")]
    assert first not in others
    assert len({tuple(each) for each in others}) == len(others)


def test_generators_leave_the_process_own_stream_alone() -> None:
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    _draw(Runner("cpu"), "any")
    with kept_random_state():
        torch.rand(10)
    with pytest.raises(ZeroDivisionError), kept_random_state():
        torch.rand(10)
        raise ZeroDivisionError
    assert torch.equal(torch.rand(3), wanted)


def test_batches_cover_everything_in_order() -> None:
    data = torch.arange(10.0)[:, None]
    sizes = []

    def work(index: slice) -> Tensor:
        sizes.append(len(data[index]))
        return data[index] * 2

    with Runner("cpu") as runner:
        found = runner.in_batches(work, 10, batch=4)
        assert torch.equal(found, data * 2)
        assert sizes == [4, 4, 2]
        assert runner.report()["items_per_second"] > 0


def test_what_batches_come_to_lies_in_one_block_from_the_first_on() -> None:
    """Kept one by one, small results lie between what batches give back, and no later batch fits into a gap."""
    kept: list[weakref.ref[Tensor]] = []

    def work(index: slice) -> Tensor:
        part = torch.full((index.stop - index.start, 2), float(index.start))
        kept.append(weakref.ref(part))
        assert all(each() is None for each in kept[:-2]), "earlier results are copied, not kept"
        return part

    found = Runner("cpu").in_batches(work, 10, batch=4)
    assert found[:, 0].tolist() == [0.0] * 4 + [4.0] * 4 + [8.0] * 2


LACK_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@pytest.mark.parametrize("lack", LACK_OF_MEMORY, ids=lambda e: f"{type(e).__name__} {str(e)[:20]}")
def test_batches_halve_when_memory_runs_out_and_nothing_is_lost(lack: Exception) -> None:
    data = torch.arange(13.0)[:, None]
    sizes = []

    def work(index: slice) -> Tensor:
        if len(data[index]) > 3:
            raise lack
        sizes.append(len(data[index]))
        return data[index]

    assert torch.equal(Runner("cpu").in_batches(work, 13, batch=8), data)
    assert max(sizes) == 2


def test_a_batch_is_no_larger_than_what_there_is() -> None:
    tried = []

    def work(index: slice) -> Tensor:
        tried.append(index)
        if index.stop - index.start > 2:
            raise MemoryError
        return torch.zeros(index.stop - index.start, 1)

    Runner("cpu").in_batches(work, 6, batch=512)
    assert tried == [slice(0, 6), slice(0, 3), slice(0, 1), *(slice(i, i + 1) for i in range(1, 6))]


@pytest.mark.parametrize("lack", LACK_OF_MEMORY, ids=lambda e: f"{type(e).__name__} {str(e)[:20]}")
def test_a_single_item_that_does_not_fit_is_told_clearly(lack: Exception) -> None:
    def work(index: slice) -> Tensor:
        raise lack

    with pytest.raises(RunFailed, match="out of memory on cpu with a batch of one") as told:
        Runner("cpu").in_batches(work, 13, batch=8)
    assert told.value.hint == "Free some memory first."
    assert told.value.__cause__ is lack


def test_work_that_cannot_be_cut_tells_of_a_lack_of_memory_with_the_setting_to_lower() -> None:
    runner = Runner("cpu")
    with (
        pytest.raises(RunFailed, match=r"out of memory on cpu in a step of 10 images\.") as told,
        runner.guard("in a step of 10 images", "Lower train.images."),
    ):
        torch.empty(10**16)
    assert told.value.hint == "Lower train.images."
    with pytest.raises(RunFailed) as told, runner.guard("here"):
        raise MemoryError
    assert told.value.hint == "Free some memory first."
    runner.device = torch.device("mps")
    with pytest.raises(RunFailed, match="out of memory on mps here") as told, runner.guard("here"):
        raise RuntimeError("MPS backend out of memory")
    assert told.value.hint == 'Use `device="cpu"`.'


@pytest.mark.parametrize("other", [RuntimeError("shapes"), ValueError("memory"), RunFailed("diverged")])
def test_other_failures_pass_the_guard_as_they_are(other: Exception) -> None:
    with pytest.raises(type(other)) as told, Runner("cpu").guard("in a step"):
        raise other
    assert told.value is other


def test_other_failures_are_not_taken_for_lack_of_memory() -> None:
    def work(index: slice) -> Tensor:
        raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        Runner("cpu").in_batches(work, 13, batch=8)


def test_batches_keep_no_graph_and_come_back_as_float32() -> None:
    weight = torch.ones(3, requires_grad=True)
    found = Runner("cpu", precision="bf16").in_batches(lambda index: torch.ones(2, 3) @ weight[:, None], 2, batch=2)
    assert found.dtype == torch.float32
    assert not found.requires_grad


def test_threads_are_restored_also_after_a_failure() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), Runner("cpu", threads=before + 1) as runner:
        assert torch.get_num_threads() == before + 1 == runner.report()["threads"]
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_place_reaches_into_containers_and_leaves_the_rest() -> None:
    thing: dict[str, Any] = {"a": [torch.ones(2), (nn.Linear(1, 1), "text")], "b": None, "c": Path("x")}
    placed = Runner("cpu").place(thing)
    assert torch.equal(placed["a"][0], torch.ones(2))
    assert isinstance(placed["a"][1], tuple)
    assert placed["a"][1][1] == "text"
    assert placed["b"] is None
    assert placed["c"] == Path("x")


def test_autocast_only_where_asked_for() -> None:
    a, b = torch.ones(2, 2), torch.ones(2, 2)
    with Runner("cpu").autocast():
        assert (a @ b).dtype == torch.float32
    with Runner("cpu", precision="bf16").autocast():
        assert (a @ b).dtype == torch.bfloat16


def test_the_report_names_what_was_counted_and_has_a_rate_of_one_thing_alone() -> None:
    with Runner("cpu") as runner:
        runner.in_batches(lambda index: torch.zeros(index.stop - index.start, 1), 10, batch=4, what="images")
        runner.count(5, "images")
        report = runner.report()
        assert report["counted"] == {"images": 15}
        assert report["items_per_second"] > 0
        runner.count(1, "steps")
        report = runner.report()
        assert report["counted"] == {"images": 15, "steps": 1}
        assert report["items_per_second"] is None, "images and steps make no rate together"
    with runner:
        assert runner.report()["counted"] == {}


def test_gradient_steps_are_refused_at_fp16_alone() -> None:
    runner = Runner("cpu", precision="bf16")
    runner.check_gradients()
    runner.precision = torch.float16  # as it would be on an accelerator
    with pytest.raises(ConfigError, match="fp16 is not for gradient steps") as refused:
        runner.check_gradients()
    assert "bf16" in refused.value.hint


def test_the_report_says_what_it_cost() -> None:
    with Runner("cpu") as runner:
        report = runner.report()
    assert (report["device"], report["precision"]) == ("cpu", "float32")
    assert report["counted"] == {}
    assert report["items_per_second"] is None
    assert report["seconds"] >= 0
    assert 10_000_000 < report["peak_memory_bytes"] < 10**12


def test_a_runner_with_another_seed_counts_for_both() -> None:
    with Runner("cpu", seed=3) as runner:
        other = runner.reseeded(4)
        assert (runner.seed, other.seed) == (3, 4)
        same = Runner("cpu", seed=4).generator("a").initial_seed()
        assert other.generator("a").initial_seed() == same != runner.generator("a").initial_seed()
        other.count(2, "networks")
        assert runner.report()["counted"] == {"networks": 2}


def test_tensors_are_sent_wherever_they_are_in_what_is_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    where: list[torch.device] = []

    def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
        where.append(device)
        return values

    monkeypatch.setattr("netspace_cli.core.runtime.runner.sent", sent)
    Runner("cpu").place({"one": torch.ones(2), "others": [torch.ones(3), (torch.ones(1),)]})
    assert where == [torch.device("cpu")] * 3


@pytest.mark.parametrize(("device", "held"), [("cpu", False), ("cuda:0", True)])
def test_memory_is_held_in_place_for_the_device_that_would_be_waited_for(
    device: str, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    runner = Runner("cpu")
    runner.device = torch.device(device)
    with runner:
        assert sending._held is held
    assert sending._held is False
