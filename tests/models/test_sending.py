"""Values go to a device as they are, and where that is asked for from memory that is held in place."""

from __future__ import annotations

import pytest
import torch
from netspace_models import sending
from netspace_models.sending import held_in_place, sent
from torch import Tensor


def test_values_arrive_as_they_are() -> None:
    values = torch.arange(3)
    assert sent(values, torch.device("cpu")) is values
    assert sent(values, torch.device("meta")).device.type == "meta"


def test_a_device_is_not_waited_for_where_memory_is_held_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def pinned(self: Tensor) -> Tensor:
        asked.append("pinned")
        return self

    def moved(self: Tensor, *where: object, **how: object) -> Tensor:
        asked.extend([*where, how])
        return self

    monkeypatch.setattr(Tensor, "pin_memory", pinned)
    monkeypatch.setattr(Tensor, "to", moved)
    device = torch.device("cuda", 1)
    with held_in_place(True):
        sent(torch.arange(3), device)
        assert asked == ["pinned", device, {"non_blocking": True}]
        asked.clear()
        monkeypatch.setattr(sending, "MOST_HELD", 23)  # bytes; three places take 24
        sent(torch.arange(3), device)
        assert asked == [device, {}]
    asked.clear()
    sent(torch.arange(2), device)
    assert asked == [device, {}]
