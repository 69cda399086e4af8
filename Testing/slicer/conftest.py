"""Tests of the Slicer side run on the bench; without PySide6 or slicer-core they are left out, and it is said."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

TESTING = Path(__file__).parents[1]
BENCH = TESTING / "slicer_bench"
MODULE_FOLDER = TESTING.parent / "CCELLAGenerator"

if "slicer_bench" not in sys.modules:
    # Not through sys.path: the package slicer takes in every folder named slicer that it finds there, this one too.
    spec = importlib.util.spec_from_file_location(BENCH.name, BENCH / "__init__.py")
    sys.modules[BENCH.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[BENCH.name])
for folder in (MODULE_FOLDER, Path(__file__).parent):  # CCELLAGeneratorLib, as Slicer finds it; the tests' own helpers
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

from slicer_bench.fixtures import MISSING, pytest_terminal_summary, slicer_bench  # noqa: E402

__all__ = ["pytest_terminal_summary", "slicer_bench"]
collect_ignore_glob = ["*"] if MISSING else []
