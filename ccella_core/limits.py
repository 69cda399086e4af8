"""Limits that the library and its clients share. Standard library only: Slicer reads them where torch is not installed."""

from __future__ import annotations

MAX_COUNT = 64
"""Volumes of one request."""
GIB = 2**30
