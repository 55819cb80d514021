"""Lines are added whole or not at all, and what a crash left of one is removed."""

from __future__ import annotations

import errno
import io
import json
import resource
from pathlib import Path

import pytest
from netspace_models.errors import RunFailed

from netspace_cli.core.files.lines import append_line, whole_lines
from netspace_cli.core.files.torch_writing import save_by_torch

WHOLE = b'{"a": 1}\n{"b": 2}\n'


@pytest.mark.parametrize("sync", [True, False])
def test_lines_are_added_one_by_one(tmp_path: Path, sync: bool) -> None:
    for text in ('{"a": 1}', '{"b": 2}'):
        append_line(tmp_path / "lines", text, sync=sync)
    assert (tmp_path / "lines").read_bytes() == WHOLE


@pytest.mark.parametrize("left", [b'{"c"', b'{"c": 3', b"{"])
def test_what_a_crash_left_of_a_line_is_removed(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "lines").write_bytes(WHOLE + left)
    assert whole_lines(WHOLE + left) == WHOLE
    append_line(tmp_path / "lines", '{"c": 3}')
    assert (tmp_path / "lines").read_bytes() == WHOLE + b'{"c": 3}\n'


@pytest.mark.parametrize("last", [b'{"c": 3}', b"notes", b"\xff\xfe\x00", b'{"\xc3\xa4'])
def test_a_last_line_that_no_crash_left_stays(tmp_path: Path, last: bytes) -> None:
    (tmp_path / "lines").write_bytes(WHOLE + last)
    assert whole_lines(WHOLE + last) == WHOLE + last
    append_line(tmp_path / "lines", "{}")
    assert (tmp_path / "lines").read_bytes() == WHOLE + last + b"\n{}\n"


def test_a_disk_that_fills_up_amid_a_line_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Filling(io.FileIO):
        def write(self, content: bytes) -> int:  # type: ignore[override]
            if self.tell() > len(WHOLE):
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(content[:5])

    (tmp_path / "lines").write_bytes(WHOLE)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode, buffering: Filling(path, "a+"))
        with pytest.raises(RunFailed, match=r"lines could not be written: disk full .*\. Free some space"):
            append_line(tmp_path / "lines", json.dumps("x" * 100))
    assert (tmp_path / "lines").read_bytes() == WHOLE


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="gone/lines could not be written"):
        append_line(tmp_path / "gone" / "lines", "{}")


def test_a_full_disk_is_not_a_fault_of_torch_s_archive(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as failure:
            save_by_torch({"content": b"x" * 10_000_000}, tmp_path / "a.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert failure.value.errno == errno.EFBIG


def test_other_failures_of_torch_s_own_are_raised_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="pickle"):
        save_by_torch({"content": lambda: None}, tmp_path / "a.pt")
