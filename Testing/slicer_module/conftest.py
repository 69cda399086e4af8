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

from slicer_bench.fixtures import MISSING, pytest_terminal_summary, slicer_bench  # noqa: E402

__all__ = ["pytest_terminal_summary", "slicer_bench"]
collect_ignore_glob = ["*"] if MISSING else []
