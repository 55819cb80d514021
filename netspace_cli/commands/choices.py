"""Option types that several commands use: shares, bandwidths, selections, epochs, seconds."""

from __future__ import annotations

from typing import Any

import click


class Share(click.ParamType):
    """A share of the instances: 30%, 0.3 or all."""

    name = "n%|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip()
        if text == "all":
            return 1.0
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            self.fail(f"invalid share {value!r}: write 30%, 0.3 or all.", param, ctx)
        return share


class BandwidthType(click.ParamType):
    """A number, or the name of a rule; the method checks either."""

    name = "number|rule"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        try:
            return float(value)
        except ValueError:
            return str(value)


class Selection(click.ParamType):
    """Instances to take: top:10 or all."""

    name = "top:n|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or isinstance(value, int):
            return value
        word, _, number = str(value).partition(":")
        if word == "all" and not number:
            return None
        if word == "top" and number.isdecimal() and int(number) > 0:
            return int(number)
        self.fail(f"invalid selection {value!r}: write top:10 or all.", param, ctx)


class Seconds(click.ParamType):
    """60, or 60s."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(str(value).strip().removesuffix("s"))
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            self.fail(f"{value!r} is not a time: write 60 or 60s.", param, ctx)
        return seconds


class Epochs(click.ParamType):
    """Numbers of epochs, separated by commas."""

    name = "n,n,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdecimal() for part in parts):
            self.fail(f"invalid epochs {value!r}: write numbers, as in 0,1,5,25.", param, ctx)
        return tuple(int(part) for part in parts)
