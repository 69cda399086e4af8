"""The bench's own tests."""

from __future__ import annotations

from slicer_bench.fixtures import MISSING, pytest_terminal_summary, slicer_bench

__all__ = ["pytest_terminal_summary", "slicer_bench"]
collect_ignore_glob = ["test_*.py"] if MISSING else []
