"""Files are whole or not there, and what is read whole is a file."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import PATIENCE_SECONDS
from typer.testing import CliRunner

from ccella_core import files
from ccella_core.errors import InputError, ModelError, SaveError
from ccella_core.files import (
    alone_in,
    read_bytes,
    read_text,
    replace_folder,
    sweep,
    usable_path,
    whole_file,
    write_json,
    write_text,
)

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes on this system")


def test_text_is_written_whole_with_its_folder_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "Läsion\nlinks\n")
    assert path.read_bytes() == "Läsion\nlinks\n".encode()
    assert read_text(path) == "Läsion\nlinks\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_mark_and_line_ends_of_windows_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    assert read_text(tmp_path / "a") == "one\ntwo"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_what_is_private_is_the_owner_s_alone(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"report": "x"}, private=True)
    write_json(tmp_path / "b.json", {"n": 1})
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "b.json").stat().st_mode) & 0o044
    assert json.loads(read_bytes(tmp_path / "a.json")) == {"report": "x"}


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises((SaveError, ValueError)):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_name_that_cannot_be_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(SaveError, match="cannot be written"):
        write_text(tmp_path / name, "x")
    assert list(tmp_path.iterdir()) == []


@needs_pipes
def test_a_pipe_is_refused_at_once_wherever_a_file_is_read(tmp_path: Path) -> None:
    """Reading it would wait for ever for somebody to write."""
    from ccella_core.cases.prepared import PreparedSet
    from ccella_core.cli import app
    from ccella_core.models.search import BrokenModel, find_models
    from ccella_core.training.train_config import read_config

    for place in ("pipe", "models/one/model_index.json", "prepared/prepared.json", "prepared/cases.jsonl"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(tmp_path / place)
    with pytest.raises(OSError, match="a pipe or a device"):
        read_bytes(tmp_path / "pipe")
    (broken,) = find_models([tmp_path / "models"])
    assert isinstance(broken, BrokenModel) and "a pipe or a device" in broken.reason
    with pytest.raises(InputError, match="a pipe or a device"):
        read_config(tmp_path / "pipe")
    with pytest.raises(InputError):
        PreparedSet.open(tmp_path / "prepared")
    said = CliRunner().invoke(app, ["generate", "--report-file", str(tmp_path / "pipe"), "--out", str(tmp_path / "o")])
    assert said.exit_code == 2 and "it is a pipe or a device" in " ".join(said.stderr.split())


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ccella_core.config import read_json_object

    monkeypatch.setattr(files, "MOST_BYTES_READ", 1 << 20)
    (tmp_path / "a.json").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(ModelError, match="it is larger than 1 MiB"):
        read_json_object(tmp_path / "a.json")


SAYS_ITS_NAMES = """
import sys, time
from pathlib import Path
from ccella_core.files import hidden_name
folder = Path(sys.argv[1])
hidden_name(folder, ".nii.gz").write_text("half")
hidden_name(folder / "inside").mkdir(parents=True)
(folder / "model").mkdir()
(folder / "model" / "weights").write_text("of before")
(folder / "model").rename(hidden_name(folder, ".former-model"))
print("ready", flush=True)
time.sleep(600)
"""


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SAYS_ITS_NAMES, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline().strip() == b"ready"
    (tmp_path / ".ccella-notes").write_text("somebody's own")
    before = _names(tmp_path)
    with whole_file(tmp_path / "a.txt") as own:
        own.write_text("whole")
        sweep(tmp_path, deeply=True)
        assert _names(tmp_path) == before | {own.name}
    process.kill()
    # Not waited for: a dead process that nobody has buried is dead as well.
    left = {"a.txt", "inside", ".ccella-notes", "model", "model/weights"}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _names(tmp_path) != left and time.monotonic() < deadline:
        sweep(tmp_path, deeply=True)
    assert _names(tmp_path) == left
    assert (tmp_path / "model" / "weights").read_text() == "of before"
    process.wait(PATIENCE_SECONDS)


HOLDS_A_FOLDER = """
import sys, time
from pathlib import Path
from ccella_core.files import alone_in
with alone_in(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_folder_is_one_process_s_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    process = subprocess.Popen([sys.executable, "-c", HOLDS_A_FOLDER, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline().strip() == b"ready"
    taken = r"Another process works in .*out; wait for it, or name another folder"
    with pytest.raises(InputError, match=taken), alone_in(folder):
        raise AssertionError
    process.kill()
    process.wait(PATIENCE_SECONDS)
    with alone_in(folder):
        (folder / "result").write_text("x")
    assert _names(tmp_path) == {"new", "new/out", "new/out/result"}


def test_without_psutil_files_are_written_and_a_living_process_s_are_not_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slicer's own Python exports DICOM, and takes files from another computer, before anything is installed."""
    with monkeypatch.context() as slicer:
        slicer.setitem(sys.modules, "psutil", None)
        slicer.setitem(sys.modules, "filelock", None)
        files.write_text(tmp_path / "whole.txt", "whole")
        unfinished = files.hidden_name(tmp_path, ".nii")
    unfinished.write_text("half")
    files.sweep(tmp_path)
    assert unfinished.exists() and (tmp_path / "whole.txt").read_text() == "whole"


def test_a_refused_run_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError), alone_in(tmp_path / "new" / "out"):
        raise InputError("no")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_whole_or_stays(tmp_path: Path) -> None:
    with replace_folder(tmp_path / "a") as new:
        (new / "x").write_text("1")
    with pytest.raises(OSError), replace_folder(tmp_path / "a") as new:
        raise OSError
    assert (tmp_path / "a" / "x").read_text() == "1"
    with replace_folder(tmp_path / "a") as new:
        (new / "y").write_text("2")
    assert _names(tmp_path) == {"a", "a/y"}


@pytest.mark.parametrize("path", ["x" * 300, f"a/{'ä' * 130}/b", "~nobody-of-this-name/a", "a\0b"])
def test_a_path_that_cannot_be_is_refused_and_shortened(path: str) -> None:
    with pytest.raises(InputError) as said:
        usable_path(Path(path))
    assert len(str(said.value)) < 250


def test_a_path_may_begin_at_home_or_be_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert usable_path(Path("~/a")) == tmp_path / "a"
    assert usable_path(tmp_path / "not" / "there") == tmp_path / "not" / "there"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InputError, match="links"):
        usable_path(tmp_path / "a" / "c")
