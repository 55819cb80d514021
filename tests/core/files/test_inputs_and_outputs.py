"""Files are written whole or not at all, and named for what they are."""

from __future__ import annotations

import gzip
import hashlib
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from netspace_models.errors import ConfigError, InputFileError, OutputExists, RunFailed

from netspace_cli.core.files import outputs as files
from netspace_cli.core.files.inputs import describe_bytes, hint_for, open_input, sha256_of
from netspace_cli.core.files.outputs import atomic_write, check_output


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def put(path: Path, text: str = "new", *, force: bool = False) -> None:
    atomic_write(path, lambda temporary: temporary.write_text(text) and None, force=force)


def test_a_written_file_is_complete_and_alone(tmp_path: Path) -> None:
    put(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    with umask(mask):
        put(tmp_path / "a")
    assert mode_of(tmp_path / "a") == mode


def test_the_mode_is_right_when_the_writer_replaces_the_temporary_file(tmp_path: Path) -> None:
    def write(temporary: Path) -> None:
        other = temporary.with_name("other")
        other.write_text("new")
        other.chmod(0o600)
        os.replace(other, temporary)

    with umask(0o022):
        atomic_write(tmp_path / "a", write, force=False)
    assert mode_of(tmp_path / "a") == 0o644


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o640)
    put(tmp_path / "a", force=True)
    assert mode_of(tmp_path / "a") == 0o640
    assert (tmp_path / "a").read_text() == "new"


def test_an_existing_file_is_kept_without_force(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(OutputExists, match="a exists already. Choose another path, or replace it with `force=True`"):
        put(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "old"


def test_a_file_that_appears_during_the_work_is_kept_without_force(tmp_path: Path) -> None:
    def write(temporary: Path) -> None:
        temporary.write_text("new")
        (tmp_path / "a").write_text("somebody else's")

    with pytest.raises(OutputExists):
        atomic_write(tmp_path / "a", write, force=False)
    assert (tmp_path / "a").read_text() == "somebody else's"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("failure", [RuntimeError("boom"), KeyboardInterrupt()])
def test_a_failing_writer_leaves_everything_as_it_was(tmp_path: Path, failure: BaseException) -> None:
    (tmp_path / "a").write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise failure

    with pytest.raises(type(failure)):
        atomic_write(tmp_path / "a", write, force=True)
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_the_temporary_file_has_the_extension_and_the_folder_of_the_target(tmp_path: Path) -> None:
    seen: list[Path] = []
    atomic_write(tmp_path / "plot.png", seen.append, force=False)
    assert seen[0].suffix == ".png"
    assert seen[0].parent == tmp_path


def test_bytes_are_on_the_disk_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        order.append("fsync")
        fsync(handle)

    def noted_replace(old: Path, new: Path) -> None:
        order.append("replace")
        replace(old, new)

    monkeypatch.setattr(files.os, "fsync", noted_fsync)
    monkeypatch.setattr(files.os, "replace", noted_replace)
    put(tmp_path / "a")
    assert order == ["fsync", "replace", "fsync"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    put(tmp_path / "link", force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_text() == "new"


def test_a_link_to_nothing_makes_the_file_it_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    put(tmp_path / "link")
    assert (tmp_path / "a").read_text() == "new"


def test_disk_full_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(RunFailed, match="a could not be written: disk full .*Free some space"):
            put(tmp_path / "a", "x" * 10_000, force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom netspace_cli.core.files.outputs import atomic_write\n"
        "def write(t):\n    t.write_text('half')\n    os.kill(os.getpid(), 9)\n"
        "atomic_write(Path(sys.argv[1]), write, force=True)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], check=False)
    assert ended.returncode == -9
    assert (tmp_path / "a").read_text() == "old"


@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path, force: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, reason in (
        (tmp_path, "is a directory"),
        (tmp_path / "pipe", "is a named pipe"),
        (Path("/dev/null"), "is a device"),
        (tmp_path / "loop", "cannot be written to"),
        (tmp_path / ("n" * 300), "cannot be written to"),
        (tmp_path / "nul\0byte", "cannot be written to"),
        (tmp_path / "no" / "a", "there is no folder"),
    ):
        with pytest.raises(ConfigError, match=reason):
            check_output(path, force=force)
        with pytest.raises(ConfigError, match=reason):
            put(path, force=force)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file"):
        check_output(tmp_path / "file" / "a", force=False)


def test_a_folder_without_write_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(ConfigError, match=f"no permission to write in {tmp_path}"):
        check_output(tmp_path / "a", force=False)


def test_check_output_touches_nothing(tmp_path: Path) -> None:
    check_output(tmp_path / "a", force=False)
    assert os.listdir(tmp_path) == []


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
    with pytest.raises(InputFileError, match="no such file"):
        sha256_of(tmp_path / "b")


@pytest.mark.parametrize(
    ("content", "description"),
    [
        (b"", "empty"),
        (b"\n <!DOCTYPE html><html>", "an HTML page"),
        (b"<html lang='en'>", "an HTML page"),
        (b"<?xml version='1.0'?>", "an XML document"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a git-lfs pointer"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a PNG picture"),
        (gzip.compress(b"weights", mtime=0), "a gzip archive"),
        (b'{"a": 1}', "JSON text"),
        (("Überraschung " * 100).encode(), "text"),
        (b"\0" * 2000, "nothing but zero bytes"),
        (b"a.pt".ljust(257, b"\0") + b"ustar\0", "a tar archive"),
        (b"PK\x03\x04\x00\x00\x08\x08", None),
        (bytes(range(128, 256)), None),
    ],
)
def test_what_a_file_is_called(tmp_path: Path, content: bytes, description: str | None) -> None:
    (tmp_path / "a").write_bytes(content)
    assert describe_bytes(tmp_path / "a") == description


def test_text_is_text_wherever_the_sniffed_bytes_end(tmp_path: Path) -> None:
    for shift in range(4):
        (tmp_path / "a").write_text("x" * shift + "€" * 1000)
        assert describe_bytes(tmp_path / "a") == "text"


def test_hints_fit() -> None:
    assert "git lfs pull" in hint_for("a git-lfs pointer")
    assert "Unpack" in hint_for("a gzip archive")


def test_inputs_that_are_no_files_are_named_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path, "this is a directory"),
        (tmp_path / "pipe", "this is a named pipe"),
        (Path("/dev/zero"), "this is a device"),
        (tmp_path / "missing", "no such file"),
        (tmp_path / ("n" * 300), "could not be opened"),
        (tmp_path / "nul\0byte", "could not be opened"),
    ):
        with pytest.raises(InputFileError, match=reason), open_input(path):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").touch(mode=0)
    with pytest.raises(InputFileError, match="permission denied"), open_input(tmp_path / "a"):
        pass


def test_permission_denied_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.os, "open", refuse)
    with pytest.raises(InputFileError, match="permission denied. Make the file readable"):
        sha256_of(tmp_path / "a")
