"""The runner: the only place that chooses device, precision, threads and seeds.

Everything below it follows its inputs. It moves inputs in and results out, cuts batches to what fits in
memory, and can say afterwards what the work cost.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from copy import copy
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import torch
from netspace_models.errors import ConfigError, RunFailed
from netspace_models.sending import held_in_place, sent
from netspace_models.wording import setting
from torch import Tensor, nn

from .places import Place
from .processes import Processes
from .progress import Progress, Silent, Tick

T = TypeVar("T")

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
GIB = 2**30
# Two megabytes of float32.
CACHED_VALUES = 2**19
_BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "avx10_2", "bf16", "sve_bf16")
# Of lack of memory that comes as a plain RuntimeError: the processor's, other accelerators', cuBLAS's and cuDNN's.
_MEMORY_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


@contextmanager
def held_threads(threads: int | None) -> Iterator[None]:
    """Use this many processor threads inside the block, None for the present number; restored afterwards."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Runner:
    """Where and how the work runs. A context manager: settings are set on entry, restored on exit.

    Args:
        device: "auto" (an accelerator if there is one), "cpu", "cuda", "cuda:1", "mps".
        precision: "float32", "bf16" or "fp16"; anything but float32 means autocast.
        threads: processor threads, None for torch's own choice.
        seed: root of every random stream.
        progress: receives reports of progress; None for none.
        processes: that train together; each takes a device of its own, or its share of the processor's cores. None
            for this process alone.
    Raises:
        ConfigError: a device or precision that this machine does not have, fewer than one thread, more processes than
            devices.
    """

    def __init__(
        self,
        device: str = "auto",
        *,
        precision: str = "float32",
        threads: int | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        processes: Processes | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigError(
                f"cannot work with {threads} processor threads.", f"Give at least one: {setting('threads', 1)}."
            )
        self.requested = device
        self.processes = processes or Processes()
        place = self.processes.place
        self.device = _pick_device(device) if place.count == 1 else _own_device(device, place)
        self.precision = _check_precision(precision, self.device)
        self.precision_name = precision
        self.threads = threads if threads is not None or place.local_count == 1 else _own_threads(place)
        self.seed = seed
        self._progress = progress or Silent()
        self._placed: dict[int, tuple[Any, Any]] = {}
        self._counted: dict[str, int] = {}
        self._began = time.perf_counter()
        self._held = ExitStack()

    def __enter__(self) -> Self:
        self._began, self._counted = time.perf_counter(), {}
        self._held.enter_context(held_threads(self.threads))
        self._held.enter_context(self.processes.joined(self.device))
        self._held.enter_context(held_in_place(self.device.type == "cuda"))
        if self.device.type == "cuda":
            torch.cuda.init()  # its memory has no statistics before
            torch.cuda.reset_peak_memory_stats(self.device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()
        self._placed = {}

    @property
    def warning(self) -> str | None:
        """What makes the work slow here, where a precision that the processor has no arithmetic for was asked for."""
        if self.device.type != "cpu" or self.precision != torch.bfloat16 or has_bf16_arithmetic():
            return None
        return (
            "bf16 was asked for; this processor has no arithmetic for it (AVX512_BF16, AMX, or Arm's BF16), and on one "
            "like it a step of training took 5.9 times as long as with float32. "
            f"Use {setting('precision', 'float32')}."
        )

    @property
    def device_name(self) -> str:
        """Name of the device for records: "cpu", "cuda:0 (NVIDIA H100 80GB HBM3)"."""
        if self.device.type == "cuda":
            return f"{self.device} ({torch.cuda.get_device_name(self.device)})"
        return str(self.device)

    @contextmanager
    def progress(self, description: str, total: int | None = None, done: int = 0) -> Iterator[Tick]:
        """Show the progress of a piece of work inside the block; pieces may be nested.

        Args:
            total: units of the whole work; None where it is not known.
            done: units that an earlier run has done.
        Returns:
            A function to call with the number of units done since the last call (1), and figures worth showing.
        """
        self._progress.start(description, total, done)
        try:
            yield self._progress.advance
        finally:
            self._progress.stop()

    def devices(self, workers: int) -> list[str]:
        """Names of devices for worker processes: this machine's by turns, or the one that was asked for by number."""
        if self.device.type != "cuda" or ":" in self.requested:
            return [str(self.device)] * workers
        return [f"cuda:{number % torch.cuda.device_count()}" for number in range(workers)]

    def place(self, thing: T) -> T:
        """Move `thing` to the device: tensors, modules, anything with `.to`, and dicts, lists and tuples of them.

        Spaces and data sets are copied to another device once: later calls return the same copy.
        """
        moved: Any = thing
        if isinstance(thing, Tensor):
            moved = sent(thing, self.device)
        elif isinstance(thing, nn.Module):
            moved = thing.to(self.device)
        elif hasattr(thing, "to"):
            known = self._placed.get(id(thing))
            moved = thing.to(self.device) if known is None else known[1]
            self._placed[id(thing)] = (thing, moved)  # kept, so that no other thing gets its id
        elif isinstance(thing, Mapping):
            moved = {k: self.place(v) for k, v in thing.items()}
        elif isinstance(thing, list | tuple):
            moved = type(thing)(self.place(v) for v in thing)
        return moved

    def reseeded(self, seed: int) -> Self:
        """The same runner with another seed, for repeated work; its work is counted here too."""
        other = copy(self)
        other.seed = seed
        return other

    def generator(self, *keys: int | str) -> torch.Generator:
        """A processor generator whose stream depends only on the seed and the keys.

        One for each step or item: item 7 draws the same alone, in a batch of 64, and after a resume.
        """
        digest = hashlib.sha256(repr((self.seed, *keys)).encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def autocast(self) -> AbstractContextManager[Any]:
        """Context for forward passes: autocast at reduced precision, nothing at float32."""
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision)

    def check_gradients(self) -> None:
        """Refuse a precision that does not allow gradient steps.

        Raises:
            ConfigError: fp16.
        """
        if self.precision == torch.float16:
            raise ConfigError(
                "fp16 is not for gradient steps: small gradients vanish without scaling.",
                f"Use {setting('precision', 'bf16')} or float32.",
            )

    def in_batches(
        self, work: Callable[[slice], Tensor], total: int, *, batch: int = 512, what: str = "items"
    ) -> Tensor:
        """Results of `work` on consecutive slices, concatenated, on the processor.

        Args:
            work: from a slice of `range(total)` to a tensor whose first axis is the slice's length.
            total: number of items.
            batch: most items at once; halved each time memory runs out.
            what: name of the items, for `report`.
        Raises:
            RunFailed: a single item does not fit in memory.
        """
        results: Tensor | None = None
        start, batch = 0, min(batch, total)
        with torch.no_grad(), self.autocast():
            while start < total:
                try:
                    part = work(slice(start, min(start + batch, total)))
                    # Into one block: parts that are kept lie between what batches take and give back, and no later
                    # batch fits into a gap. With the glibc of many systems (before 2.38) that took gigabytes.
                    if results is None:
                        results = torch.empty(total, *part.shape[1:])
                    results[start : start + len(part)] = part
                except (RuntimeError, MemoryError) as failure:
                    if not is_out_of_memory(failure):
                        raise
                    if batch == 1:
                        raise RunFailed(
                            f"out of memory on {self.device} with a batch of one.", self._roomier()
                        ) from failure
                    batch //= 2
                    continue
                start += batch
                self.count(len(part), what)
        assert results is not None, f"no {what}"
        return results

    def rows_at_once(self, rows: int, values: int, *, within: int = CACHED_VALUES) -> int:
        """Number of rows of independent work, each with this many values, that run fastest at once.

        On a processor, few enough to stay in its cache, or within another number of values; elsewhere all.
        """
        return rows if self.device.type != "cpu" else max(1, within // values)

    @contextmanager
    def guard(self, doing: str, hint: str = "") -> Iterator[None]:
        """Explain a lack of memory in work that cannot be split, since smaller batches would change the result.

        Args:
            doing: what fills the memory, e.g. "in a training step of 8 instances and 128 images".
            hint: the setting to lower; by default a roomier place to work.
        Raises:
            RunFailed: memory ran out inside. All other errors pass as they are.
        """
        try:
            yield
        except (RuntimeError, MemoryError) as failure:
            if not is_out_of_memory(failure):
                raise
            raise RunFailed(f"out of memory on {self.device} {doing}.", hint or self._roomier()) from failure

    def _roomier(self) -> str:
        return "Free some memory first." if self.device.type == "cpu" else f"Use {setting('device', 'cpu')}."

    def count(self, number: int, what: str = "items") -> None:
        """Add to the work that `report` lists; `what` is a plural: "images", "steps", "instances"."""
        self._counted[what] = self._counted.get(what, 0) + number

    def report(self) -> dict[str, Any]:
        """Cost of the work since entry.

        Returns:
            device, precision, threads, seconds, peak_memory_bytes; `counted`, how many of what were done;
            items_per_second where things of one name alone were counted, else None: the seconds were not
            spent on one kind of work then.
        """
        seconds = time.perf_counter() - self._began
        counts = list(self._counted.values())
        return {
            "device": str(self.device),
            "precision": self.precision_name,
            "threads": torch.get_num_threads(),
            "seconds": round(seconds, 3),
            "counted": dict(self._counted),
            "items_per_second": round(counts[0] / seconds, 1) if len(counts) == 1 else None,
            "peak_memory_bytes": self._peak_memory(),
        }

    def _peak_memory(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return peak_bytes()


def memory_of(device: torch.device) -> int:
    """Bytes of memory of the device: its own, or the machine's."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is not None and accelerator.type == device.type:
        try:
            return torch.accelerator.get_memory_info(device)[1]
        except RuntimeError:
            pass  # one that shares the machine's
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def has_bf16_arithmetic() -> bool:
    """Whether the processor multiplies bf16 numbers itself; older torch tells whether its kernels pay."""
    tell = getattr(torch.cpu, "get_capabilities", None)
    if tell is None:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return any(tell().get(name, False) for name in _BF16_INSTRUCTIONS)


def bytes_in_use() -> int:
    """Bytes of memory that this process has in use; where the system does not tell, that it had at most."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_bytes()


def peak_bytes() -> int:
    """Bytes of memory that this process had in use at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; on the processor torch has no separate type for it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _MEMORY_WORDS)


def _pick_device(request: str) -> torch.device:
    if request == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(request)
    except RuntimeError as failure:
        raise ConfigError(f"unknown device {request!r}.", "Use auto, cpu, cuda, cuda:N or mps.") from failure
    if device.type == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= found:
            raise ConfigError(
                f"{request} was asked for; this machine has {found} CUDA devices.", f"Use {setting('device', 'cpu')}."
            )
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("mps was asked for; this machine does not have it.", f"Use {setting('device', 'cpu')}.")
    if device.type not in ("cpu", "mps"):
        raise ConfigError(f"netspace does not run on {request!r}.", "Use auto, cpu, cuda, cuda:N or mps.")
    return device


def _own_device(request: str, place: Place) -> torch.device:
    """Device of one of several processes: each on a machine takes another accelerator, or all its processor."""
    device = _pick_device(request)
    if device.type == "cpu":
        return device
    together = f"{place.local_count} processes on this machine take a device each"
    if ":" in request:
        raise ConfigError(
            f"{request} was asked for; {together}.", f"Use {setting('device', device.type)} for the first of them."
        )
    found = torch.cuda.device_count() if device.type == "cuda" else 1
    if found < place.local_count:
        raise ConfigError(
            f"{together}; it has {found} of {device.type}.",
            f"Use {setting('devices', found)}, or {setting('device', 'cpu')}.",
        )
    device = torch.device(device.type, place.local_number)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # NCCL works on the current one
    return device


def _own_threads(place: Place) -> int:
    """Processor threads for one of several processes on this machine."""
    return max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // place.local_count))


def _check_precision(name: str, device: torch.device) -> torch.dtype:
    if name not in PRECISIONS:
        raise ConfigError(f"unknown precision {name!r}.", f"Use one of {', '.join(PRECISIONS)}.")
    if name == "fp16" and device.type == "cpu":
        raise ConfigError("fp16 is not for the processor.", f"Use {setting('precision', 'bf16')} or float32.")
    if name == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError(f"bf16 was asked for; {device} does not have it.", f"Use {setting('precision', 'float32')}.")
    return PRECISIONS[name]


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Keep the process's own random stream unchanged, whatever happens inside."""
    # `torch.manual_seed` reaches every accelerator's stream as well.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        yield


@contextmanager
def drawing_by(generator: torch.Generator) -> Iterator[None]:
    """Let the process's own random stream begin by a generator's seed inside: dropout draws from no other one. The
    stream and the generator are unchanged afterwards.
    """
    with kept_random_state():
        # Not `torch.manual_seed`, which takes half a millisecond to prepare accelerators that are not there.
        torch.default_generator.manual_seed(generator.initial_seed())
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(generator.initial_seed())
        yield
