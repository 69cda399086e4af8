"""Files are whole or not there, and what is read whole is a file."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ccella_core import files
from ccella_core.errors import InputError, ModelError, SaveError
from ccella_core.files import read_bytes, read_text, write_json, write_text

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
    assert said.exit_code == 2 and "it is a pipe or a device" in said.stderr


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ccella_core.config import read_json_object

    monkeypatch.setattr(files, "MOST_BYTES_READ", 1 << 20)
    (tmp_path / "a.json").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(ModelError, match="it is larger than 1 MiB"):
        read_json_object(tmp_path / "a.json")
