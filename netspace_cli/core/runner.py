"""The runner: the one place that picks the device, the precision, the threads and the seeds.

Everything below it follows its inputs. It moves inputs in and results out, cuts batches to what fits in
memory, and can say afterwards what the work cost.
"""

from __future__ import annotations

import hashlib
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Any, Self, TypeVar

import torch
from netspace_models.errors import ConfigError, RunFailed
from torch import Tensor

T = TypeVar("T")

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Runner:
    """Where and how the work runs. A context manager: settings are set on entry, restored on exit.

    Args:
        device: "auto" (an accelerator if there is one), "cpu", "cuda", "cuda:1", "mps".
        precision: "float32", "bf16" or "fp16"; anything but float32 means autocast.
        threads: processor threads, None for torch's own choice.
        seed: root of every random stream.
    Raises:
        ConfigError: a device or precision that this machine does not have, fewer than one thread.
    """

    def __init__(
        self, device: str = "auto", *, precision: str = "float32", threads: int | None = None, seed: int = 0
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigError(f"{threads} processor threads cannot work.", "Give at least one: --threads 1.")
        self.device = _pick_device(device)
        self.precision = _check_precision(precision, self.device)
        self.precision_name = precision
        self.threads = threads
        self.seed = seed
        self._items = 0
        self._began = time.perf_counter()
        self._threads_before = torch.get_num_threads()

    def __enter__(self) -> Self:
        self._began, self._items = time.perf_counter(), 0
        self._threads_before = torch.get_num_threads()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        torch.set_num_threads(self._threads_before)

    def place(self, thing: T) -> T:
        """`thing` on the device: tensors, modules, whatever has `.to`, and dicts, lists and tuples of them."""
        moved: Any = thing
        if hasattr(thing, "to"):
            moved = thing.to(self.device)
        elif isinstance(thing, Mapping):
            moved = {k: self.place(v) for k, v in thing.items()}
        elif isinstance(thing, list | tuple):
            moved = type(thing)(self.place(v) for v in thing)
        return moved

    def generator(self, *keys: int | str) -> torch.Generator:
        """A processor generator whose stream is a function of the seed and the keys alone.

        One for each step or item: item 7 draws the same alone, in a batch of 64, and after a resume.
        """
        digest = hashlib.sha256(repr((self.seed, *keys)).encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def autocast(self) -> AbstractContextManager[Any]:
        """The context for forward passes: autocast at reduced precision, nothing at float32."""
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision)

    def in_batches(self, work: Callable[[slice], Tensor], total: int, *, batch: int = 512) -> Tensor:
        """Results of `work` on consecutive slices, concatenated, on the processor.

        Args:
            work: from a slice of `range(total)` to a tensor whose first axis is the slice's length.
            total: number of items.
            batch: most items at once; halved each time memory runs out.
        Raises:
            RunFailed: a single item does not fit in memory.
        """
        results, start = [], 0
        with torch.no_grad(), self.autocast():
            while start < total:
                try:
                    part = work(slice(start, min(start + batch, total)))
                except torch.OutOfMemoryError as failure:
                    if batch == 1:
                        raise RunFailed(
                            f"out of memory on {self.device} with a batch of one.", "Use --device cpu."
                        ) from failure
                    batch = max(1, batch // 2)
                    continue
                results.append(part.float().cpu())
                start += batch
                self.count(part.shape[0])
        return torch.cat(results)

    def count(self, items: int) -> None:
        """Add to the items that `report` divides by the time."""
        self._items += items

    def report(self) -> dict[str, Any]:
        """What the work since entry cost: device, threads, seconds, items a second, peak memory."""
        seconds = time.perf_counter() - self._began
        return {
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "seconds": round(seconds, 3),
            "items_per_second": round(self._items / seconds, 1) if self._items else None,
            "peak_memory_bytes": self._peak_memory(),
        }

    def _peak_memory(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def _pick_device(request: str) -> torch.device:
    if request == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(request)
    except RuntimeError as failure:
        raise ConfigError(f"no device is called {request!r}.", "Use auto, cpu, cuda, cuda:N or mps.") from failure
    if device.type == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= found:
            raise ConfigError(f"{request} was asked for; this machine has {found} CUDA devices.", "Use --device cpu.")
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("mps was asked for; this machine has none.", "Use --device cpu.")
    if device.type not in ("cpu", "mps"):
        raise ConfigError(f"netspace does not run on {request!r}.", "Use auto, cpu, cuda, cuda:N or mps.")
    return device


def _check_precision(name: str, device: torch.device) -> torch.dtype:
    if name not in PRECISIONS:
        raise ConfigError(f"no precision is called {name!r}.", f"Use one of {', '.join(PRECISIONS)}.")
    if name == "fp16" and device.type == "cpu":
        raise ConfigError("fp16 is not for the processor.", "Use --precision bf16 or float32.")
    if name == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError(f"bf16 was asked for; {device} does not have it.", "Use --precision float32.")
    return PRECISIONS[name]


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Leave the process's own random stream as it was, whatever happens inside."""
    # `torch.manual_seed` reaches every accelerator's stream as well.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        yield
