"""Limits that library and clients share. Standard library only: Slicer reads them where torch is not installed."""

from __future__ import annotations

from typing import Literal

SchedulerName = Literal["dpm++", "unipc", "ddim", "ddpm", "ddpm-reference"]
"""``ccella_core.generation.schedulers.Scheduler`` says what each of them is."""
OutputRange = Literal["native", "0-1", "int16"]
"""What voxels hold, see ``ccella_core.generation.options.GenerationOptions``."""
MAX_COUNT = 64
"""Examinations of one request: they are all held in memory, and a longer list is better made in several calls."""
GIB = 2**30
