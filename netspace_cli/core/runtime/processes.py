"""Processes that train together: what they add up, and what they agree on.

Plain `torch.distributed`: gloo between processors, NCCL between NVIDIA devices.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from netspace_models.errors import ProcessLost
from torch import Tensor

from .places import ALONE, Place

PATIENCE = 600.0  # seconds


class Processes:
    """The processes of a training, seen from one of them. Of one process, everything is its own already.

    Args:
        place: which of them this is.
        patience: seconds to wait for the others before they count as lost.
    """

    def __init__(self, place: Place = ALONE, *, patience: float = PATIENCE) -> None:
        self.place = place
        self.patience = patience

    @property
    def number(self) -> int:
        """Number of this process, from 0."""
        return self.place.number

    @property
    def count(self) -> int:
        """Number of processes."""
        return self.place.count

    @property
    def _alone(self) -> bool:
        """Whether there are no others to meet: none at all, or a number that is only planned for."""
        return self.count == 1 or not self.place.meeting

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Meet the others, and work with them inside the block; without a place to meet, none is waited for.

        Args:
            device: that this process computes on.
        Raises:
            ProcessLost: the others did not come.
        """
        if self._alone:
            yield
            return
        if self.place.launcher_pipe is not None:
            threading.Thread(target=_stop_with_launcher, args=(self.place.launcher_pipe,), daemon=True).start()
        backends = {"cpu": dist.get_default_backend_for_device("cpu")}
        backends[device.type] = dist.get_default_backend_for_device(device)
        with self._in_contact():
            dist.init_process_group(
                ",".join(f"{kind}:{backend}" for kind, backend in backends.items()),
                init_method=self.place.meeting,
                rank=self.number,
                world_size=self.count,
                timeout=timedelta(seconds=self.patience),
            )
        try:
            yield
        finally:
            dist.destroy_process_group()

    def add_up(self, values: Tensor) -> Tensor:
        """Replace values by their sums over all processes; returns them.

        Raises:
            ProcessLost: another process is gone, or did not come in time.
        """
        if not self._alone:
            with self._in_contact():
                dist.all_reduce(values)
        return values

    def largest(self, number: int) -> int:
        """The largest of the numbers that the processes give.

        Raises:
            ProcessLost: as in `add_up`.
        """
        if self._alone:
            return number
        shared = torch.tensor(number)
        with self._in_contact():
            dist.all_reduce(shared, dist.ReduceOp.MAX)
        return int(shared)

    def agree_on(self, number: int) -> bool:
        """Whether all processes give the same number.

        Raises:
            ProcessLost: as in `add_up`.
        """
        return self.largest(number) == -self.largest(-number)

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Replace the values of tensors by those of process 0.

        Raises:
            ProcessLost: as in `add_up`.
        """
        if self._alone:
            return
        for each in tensors:
            values = each.detach().contiguous()
            with self._in_contact():
                dist.broadcast(values, 0)
            each.detach().copy_(values)

    @contextmanager
    def _in_contact(self) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as failure:
            late = "imed out" in str(failure) or "imeout" in str(failure)
            how = f"it did not answer within {self.patience:g} s" if late else "it is gone"
            raise ProcessLost(
                f"process {self.number} of {self.count} (counted from 0) lost another process: {how}."
            ) from failure


def _stop_with_launcher(pipe: int) -> None:
    """Stop as at a signal when the launcher is gone, however it ended."""
    while os.read(pipe, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
