"""The pytest fixture ``slicer_bench``; conftest files of tests that need Slicer import everything from here."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .bench import Bench

os.environ["QT_QPA_PLATFORM"] = "offscreen"  # before Qt is imported: no display, no window
MISSING = [name for name in ("PySide6", "slicer") if importlib.util.find_spec(name) is None]


@pytest.fixture
def slicer_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Slicer with an empty scene. The test fails at its end over exceptions in slots and unanswered questions."""
    from .bench import Bench

    bench = Bench(tmp_path / "slicer_bench", monkeypatch)
    yield bench
    bench.close()
    complaints = bench.complaints()
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why the tests of the Slicer side did not run."""
    if MISSING:
        terminalreporter.write_line(f"The Slicer bench was left out: {' and '.join(MISSING)} not installed.")
