"""The bench's own tests."""

from __future__ import annotations

from slicer_bench.fixtures import MISSING, slicer_bench

__all__ = ["slicer_bench"]
collect_ignore_glob = ["*"] if MISSING else []
