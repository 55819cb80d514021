"""What options of several commands take: shares, bandwidths, members to select, times."""

from __future__ import annotations

from typing import Any

import click


class Share(click.ParamType):
    """30%, 0.3, or all."""

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
            self.fail(f"{value!r} is no share: write 30%, 0.3 or all.", param, ctx)
        return share


class BandwidthType(click.ParamType):
    """A number from 0 up, or a rule by its name, which the method refuses if there is none."""

    name = "number|rule"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        try:
            return float(value)
        except ValueError:
            return str(value)


class Selection(click.ParamType):
    """top:10, or all."""

    name = "top:n|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or isinstance(value, int):
            return value
        word, _, number = str(value).partition(":")
        if word == "all" and not number:
            return None
        if word == "top" and number.isdecimal() and int(number) > 0:
            return int(number)
        self.fail(f"{value!r} selects nothing: write top:10 or all.", param, ctx)


class Seconds(click.ParamType):
    """60, or 60s."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(str(value).strip().removesuffix("s"))
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            self.fail(f"{value!r} is no time: write 60 or 60s.", param, ctx)
        return seconds


class Epochs(click.ParamType):
    """Numbers of epochs, separated by commas."""

    name = "n,n,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdecimal() for part in parts):
            self.fail(f"{value!r} are no epochs: write 0,1,5,25.", param, ctx)
        return tuple(int(part) for part in parts)
