"""The shared options: what they take, what they refuse, and which variable speaks for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner, Result
from netspace_models.errors import ConfigError
from netspace_models.wording import worded

from netspace_cli import options
from netspace_cli.commands.choices import Seconds
from netspace_cli.core.runtime.runner import PRECISIONS, Runner
from netspace_cli.options import RunnerOptions
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.flags import CommandLineWording

PASSED: dict[str, Any] = {}


@click.command("encode", context_settings={"show_default": True})
@options.space
@options.data
@options.arch
@options.key
@options.refine
@options.recipe
@options.settings
@options.output(required=False)
@options.force
@options.dry_run
@options.running
@options.shared
def everything(**passed: Any) -> None:
    """Takes every shared option."""
    PASSED.update(passed)


@pytest.fixture
def take() -> Callable[..., Result]:
    """Run the command above; what it was passed is in PASSED."""

    def run(*arguments: str, **env: str) -> Result:
        PASSED.clear()
        return CliRunner().invoke(everything, arguments, env=env, auto_envvar_prefix="NETSPACE_ENCODE")

    return run


def test_without_options_everything_is_left_to_its_default(take: Callable[..., Result]) -> None:
    assert take().exit_code == 0
    console = PASSED.pop("console")
    assert isinstance(console, Console)
    assert (console.json, console.quiet, console.verbose) == (False, False, False)
    assert {
        "space": None,
        "data": None,
        "arch": None,
        "key": None,
        "refine": None,
        "recipe": None,
        "settings": {},
        "output": None,
        "force": False,
        "dry_run": False,
        "running": RunnerOptions(device="auto", precision="float32", seed=0, threads=None),
    } == PASSED


def test_options_are_passed_with_their_types(take: Callable[..., Result], tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.touch()
    words = "--space s --data digits --arch resnet8 --key model --refine 200 --force --dry-run --json -o a.emb"
    more = "--device cuda:1 --precision bf16 --seed 7 --threads 2 -s steps=600 -s model.width = -s a=b=c"
    result = take(*words.split(), "--recipe", str(recipe), *more.replace(" =", "=").split())
    assert result.exit_code == 0, result.output
    assert PASSED.pop("console").json
    assert {
        "space": "s",
        "data": "digits",
        "arch": "resnet8",
        "key": "model",
        "refine": 200,
        "recipe": recipe,
        "settings": {"steps": "600", "model.width": "", "a": "b=c"},
        "output": Path("a.emb"),
        "force": True,
        "dry_run": True,
        "running": RunnerOptions("cuda:1", "bf16", 7, 2),
    } == PASSED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "gpu"], "unknown device 'gpu'. Use auto, cpu, cuda, cuda:N or mps."),
        (["--device", "cuda:x"], "unknown device 'cuda:x'."),
        (["--precision", "float16"], "'float16' is not one of 'float32', 'bf16', 'fp16'."),
        (["--seed", "-1"], "-1 is not in the range x>=0."),
        (["--threads", "0"], "0 is not in the range x>=1."),
        (["--refine", "-5"], "-5 is not in the range x>=0."),
        (["-s", "steps"], "'steps' is not KEY=VALUE, as in train.steps=600."),
        (["-s", "=3"], "'=3' is not KEY=VALUE"),
        (["-s", "a=1", "-s", "b=2", "-s", "a=3"], "a is set 2 times. Set it once."),
        (["--recipe", "absent.toml"], "'absent.toml' does not exist."),
        (["-q", "-v"], "--quiet and --verbose are opposites. Use one of them."),
        (["--devise", "cpu"], "Did you mean one of: '--device', "),
    ],
)
def test_what_makes_no_sense_is_refused(take: Callable[..., Result], arguments: list[str], message: str) -> None:
    result = take(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert PASSED == {}


def test_a_flag_goes_before_its_variables_and_the_command_s_before_all_s(
    take: Callable[..., Result],
) -> None:
    take(NETSPACE_SEED="1")
    assert PASSED["running"].seed == 1
    take(NETSPACE_SEED="1", NETSPACE_ENCODE_SEED="2")
    assert PASSED["running"].seed == 2
    take("--seed", "3", NETSPACE_SEED="1", NETSPACE_ENCODE_SEED="2")
    assert PASSED["running"].seed == 3
    take(NETSPACE_SEED="", NETSPACE_ENCODE_SEED="")
    assert PASSED["running"].seed == 0


@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("NETSPACE_SPACE", "digits", "space", "digits"),
        ("NETSPACE_DATA", "cifar10", "data", "cifar10"),
        ("NETSPACE_FORCE", "1", "force", True),
        ("NETSPACE_DRY_RUN", "yes", "dry_run", True),
        ("NETSPACE_FORCE", "0", "force", False),
        ("NETSPACE_DEVICE", "cpu", "running", RunnerOptions(device="cpu")),
        ("NETSPACE_PRECISION", "bf16", "running", RunnerOptions(precision="bf16")),
        ("NETSPACE_THREADS", "2", "running", RunnerOptions(threads=2)),
        ("NETSPACE_ENCODE_REFINE", "20", "refine", 20),
    ],
)
def test_every_option_has_a_variable(
    take: Callable[..., Result], variable: str, value: str, name: str, expected: object
) -> None:
    assert take(**{variable: value}).exit_code == 0
    assert PASSED[name] == expected


@pytest.mark.parametrize("name", ["json", "quiet", "verbose"])
def test_how_to_talk_has_variables_too(take: Callable[..., Result], name: str) -> None:
    take(**{f"NETSPACE_{name.upper()}": "1"})
    assert getattr(PASSED["console"], name) is True


def test_a_bad_variable_is_refused_like_a_bad_flag(take: Callable[..., Result]) -> None:
    result = take(NETSPACE_DEVICE="gpu")
    assert result.exit_code == 2 and "unknown device 'gpu'." in result.stderr


def test_the_runner_is_built_from_the_options() -> None:
    runner = RunnerOptions(device="cpu", seed=7, threads=1).runner(Console())
    assert isinstance(runner, Runner)
    assert (str(runner.device), runner.seed, runner.threads) == ("cpu", 7, 1)


def test_the_number_of_threads_holds_from_the_runner_to_the_end_of_the_command() -> None:
    before = torch.get_num_threads()
    with click.Context(click.Command("some")):
        RunnerOptions(device="cpu", threads=before + 1).runner(Console())
        assert torch.get_num_threads() == before + 1, "also for what is read before the work begins"
        RunnerOptions(device="cpu").runner(Console())
        assert torch.get_num_threads() == before + 1, "none are asked for, so nothing changes"
    assert torch.get_num_threads() == before
    with pytest.raises(ConfigError, match="CUDA devices"):
        RunnerOptions(device="cuda:99").runner(Console())


def test_the_precisions_are_the_runner_s() -> None:
    assert tuple(PRECISIONS) == options.PRECISIONS


def test_help_lists_the_options_once_and_in_order(take: Callable[..., Result]) -> None:
    listed = [line.split()[0] for line in take("--help").stdout.splitlines() if line.startswith("  -")]
    assert listed[:2] == ["--space", "--data"]
    assert listed[-10:] == [
        "--device",
        "--precision",
        "--seed",
        "--threads",
        "--json",
        "--trust",
        "--strict-arch",
        "-q,",
        "-v,",
        "--help",
    ]


def test_an_output_can_be_required() -> None:
    @click.command()
    @options.output()
    def decode(output: Path) -> None:
        """Takes an output."""

    result = CliRunner().invoke(decode, [])
    assert result.exit_code == 2 and "Missing option '-o' / '--output'." in result.stderr


def test_slow_arithmetic_is_warned_of_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    with Console() as console, worded(CommandLineWording()):
        RunnerOptions("cpu", "bf16").runner(console)
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("warning: bf16 was asked for; this processor has no arithmetic for it")
    assert said.endswith("Use --precision float32.")


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60), ("60s", 60), ("1.5m", 90), ("10m", 600), (" 2h ", 7200), (30.0, 30)]
)
def test_times_may_be_given_in_seconds_minutes_or_hours(text: object, seconds: float) -> None:
    assert Seconds().convert(text, None, None) == seconds
