"""Measured times survive a session, and a broken file costs nothing but them."""

from __future__ import annotations

import logging
from pathlib import Path

import platformdirs
import pytest

from ccella_core.worker.timings import MAX_TIMINGS, Timing, Timings

SHAPE = (16, 16, 8)
TIMING = Timing(load=2.0, encode=0.5, step=0.25, decode=1.0)


def test_the_last_run_is_found_again(tmp_path: Path) -> None:
    file = tmp_path / "new" / "Zeiten ü.json"
    Timings(file).keep("abc", "cpu", SHAPE, Timing(load=9, encode=9, step=9, decode=9))
    Timings(file).keep("abc", "cpu", SHAPE, TIMING)
    found = Timings(file)
    assert found.find("abc", "cpu", SHAPE) == TIMING
    assert found.find("abc", "cuda:0", SHAPE) is found.find("abd", "cpu", SHAPE) is found.find("abc", "cpu", (8,) * 3)
    assert found.find("abc", "cuda:0", SHAPE) is None
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\xff", b"[]", b'{"abc cpu 16x16x8": {"load": -1}}'])
def test_a_broken_file_counts_as_empty_and_is_replaced(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "timings.json"
    file.write_bytes(content)
    assert Timings(file).find("abc", "cpu", SHAPE) is None
    Timings(file).keep("abc", "cpu", SHAPE, TIMING)
    assert Timings(file).find("abc", "cpu", SHAPE) == TIMING


def test_the_oldest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccella_core.worker.timings.MAX_TIMINGS", 2)
    timings = Timings(tmp_path / "timings.json")
    for model in ("first", "second", "first", "third"):
        timings.keep(model, "cpu", SHAPE, TIMING)
    assert [timings.find(model, "cpu", SHAPE) for model in ("first", "second", "third")] == [TIMING, None, TIMING]
    assert MAX_TIMINGS > 2


def test_a_disk_that_refuses_is_only_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        Timings(tmp_path / "file" / "timings.json").keep("abc", "cpu", SHAPE, TIMING)
    assert "Measured times are not kept" in caplog.text


def test_by_default_it_lies_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_, **__: tmp_path)
    Timings().keep("abc", "cpu", SHAPE, TIMING)
    assert Timings(tmp_path / "timings.json").find("abc", "cpu", SHAPE) == TIMING
