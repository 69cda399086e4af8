"""Limits that the library and its clients share. Standard library only: Slicer reads them where torch is not installed."""

from __future__ import annotations

from typing import Literal

SchedulerName = Literal["dpm++", "unipc", "ddim", "ddpm", "ddpm-reference"]
"""``ccella_core.generation.schedulers.Scheduler`` says what each of them is."""
MAX_COUNT = 64
"""Examinations of one request: they are all held in memory, and a longer list is better made in several calls."""
GIB = 2**30
