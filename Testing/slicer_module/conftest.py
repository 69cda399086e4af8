"""Tests of the Slicer side run on the bench; without PySide6 or slicer-core they are left out, and it is said."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
TESTING = HERE.parent
MODULE_FOLDER = TESTING.parent / "CCELLAGenerator"

# The bench; CCELLAGeneratorLib, as Slicer finds it; the tests' own helpers. No folder on the path may be named slicer:
# the package of that name takes in every one that it finds.
for folder in (TESTING, MODULE_FOLDER, HERE):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

import pytest  # noqa: E402
from slicer_bench.fixtures import MISSING, pytest_terminal_summary, slicer_bench  # noqa: E402
from worker_processes import Workers, living_workers  # noqa: E402

__all__ = ["pytest_terminal_summary", "slicer_bench"]


@pytest.fixture
def workers() -> Workers:
    """``workers()``: those that live and that this test started; one of a test before it may still be ending."""
    others = {worker.pid for worker in living_workers()}
    return lambda: [worker for worker in living_workers() if worker.pid not in others]


collect_ignore_glob = ["*"] if MISSING else []
