"""Settings and calls in messages: as Python writes them, or in the words of whoever runs the library."""

from __future__ import annotations

import threading

import pytest
from netspace_models.errors import ConfigError
from netspace_models.wording import Call, Value, renamed, setting, worded


class Shouting:
    """Words of a reader's own."""

    def setting(self, name: str, value: Value) -> str:
        return f"{name.upper()}!"

    def call(self, call: Call) -> str:
        return f"{call.function.upper()}!"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("teacher", None, "`teacher`"),
        ("device", "cpu", '`device="cpu"`'),
        ("arch", 'a"b\n', r'`arch="a\"b\n"`'),
        ("teacher", "FILE", "`teacher=FILE`"),
        ("arch", "ALEXNET", '`arch="ALEXNET"`'),
        ("force", True, "`force=True`"),
        ("scale", False, "`scale=False`"),
        ("batch", 2, "`batch=2`"),
        ("refine_steps", 0, "`refine_steps=0`"),
        ("lr", 0.01, "`lr=0.01`"),
        ("counts", (16, 2, 8), "`counts=(16, 2, 8)`"),
        ("counts", ("TRAIN", "VAL", "TEST"), "`counts=(TRAIN, VAL, TEST)`"),
        ("sizes", (64,), "`sizes=(64,)`"),
        ("train.images", 64, "`train.images = 64` in the recipe"),
        ("train.images", None, "`train.images`"),
        ("data", Call("load_data", "digits"), '`data=load_data("digits")`'),
    ],
)
def test_a_setting_is_written_as_python_writes_it(name: str, value: Value, words: str) -> None:
    assert setting(name, value) == words


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (Call("interpolate_weights"), "`interpolate_weights`"),
        (Call("trusting", "nets:make"), '`trusting("nets:make")`'),
        (Call("index_folder", force=True), "`index_folder(..., force=True)`"),
        (Call("read_teacher", key=None), "`read_teacher(..., key=...)`"),
    ],
)
def test_a_call_is_written_as_python_writes_it(call: Call, words: str) -> None:
    assert f"{call}" == str(call) == words


def test_who_runs_the_library_has_words_of_its_own_while_it_does() -> None:
    def message() -> str:
        return str(ConfigError("No.", f"Leave out {setting('teacher')}, or use {Call('encode')}."))

    with worded(Shouting()):
        assert message() == "No. Leave out TEACHER!, or use ENCODE!."
    assert message() == "No. Leave out `teacher`, or use `encode`."


def test_the_words_before_come_back_after_an_error() -> None:
    with pytest.raises(ConfigError), worded(Shouting()):
        raise ConfigError("No.")
    assert setting("teacher") == "`teacher`"


def test_threads_have_the_words_of_their_process() -> None:
    said: list[str] = []
    with worded(Shouting()):
        thread = threading.Thread(target=lambda: said.append(setting("teacher")))
        thread.start()
        thread.join()
    assert said == ["TEACHER!"]


def test_a_setting_is_called_otherwise_inside_a_block() -> None:
    with renamed(arch="teacher_arch"):
        assert setting("arch", "resnet8") == '`teacher_arch="resnet8"`'
        assert setting("device", "cpu") == '`device="cpu"`'
        assert str(Call("trusting", "a:b")) == '`trusting("a:b")`'
    assert setting("arch") == "`arch`"
