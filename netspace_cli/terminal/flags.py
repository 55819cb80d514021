"""Wording of the library's settings on the command line: flags, separators, commands."""

from __future__ import annotations

from netspace_models.wording import Call, Value

# The library's names whose flags are called otherwise; all others are the same with dashes.
FLAGS = {
    "candidates": "--space",
    "folder": "-o",
    "refine_steps": "--refine",
    "io": "--data",
}
# What a flag turns off.
OFF = {"scale": "--as-is"}
# Between several values of one option.
SEPARATORS = {"counts": "/"}
# What a call of the library is as a command, and what it is as an option of one.
COMMANDS = {"ZooPlan": "zoo train", "encode": "encode", "index_folder": "zoo index"}
OPTIONS = {
    "bent": "--bend",
    "interpolate_weights": "--weights",
    "read_teacher": "--teacher-key",
    "trusting": "--trust",
}


class CommandLineWording:
    """`--device cpu`, `--force`, `-s train.images=64`, `netspace encode --space NAME`: see `Wording`."""

    def setting(self, name: str, value: Value) -> str:
        """Write as a flag, or as `-s` and a key of the recipe."""
        if "." in name:
            return name if value is None else f"-s {name}={str(value).lower() if isinstance(value, bool) else value}"
        text = _text(name, value)
        return f"{flag(name, value)} {text}" if text else flag(name, value)

    def call(self, call: Call) -> str:
        """Write as a command, or as an option of one."""
        if call.function in OPTIONS:
            return " ".join([OPTIONS[call.function], *(_text("", each) for each in call.arguments)])
        settings = [self.setting(name, value) for name, value in call.settings.items()]
        return f"`{' '.join(['netspace', COMMANDS[call.function], *settings])}`"


def flag(name: str, value: Value = None) -> str:
    """The flag of one of the library's settings."""
    return OFF[name] if value is False else FLAGS.get(name, f"--{name.replace('_', '-')}")


def _text(name: str, value: Value) -> str:
    """Text after the flag; empty for switches, or if only the flag is meant."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, Call):  # the command line names what the library has opened
        return " ".join(_text(name, each) for each in value.arguments)
    if isinstance(value, tuple):
        return SEPARATORS.get(name, ",").join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
