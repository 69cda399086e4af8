"""Limits that library and clients share. Standard library only: Slicer reads them where torch is not installed."""

from __future__ import annotations

import re
from typing import Literal

SchedulerName = Literal["dpm++", "sde-dpm++", "unipc", "ddim", "ddpm", "ddpm-reference", "rflow"]
"""``ccella_core.generation.sampling.schedulers.Scheduler`` says what each of them is."""
SYNTHETIC_LABEL = "SYNTHETIC - not for diagnosis"
SYNTHETIC_PREFIX = "SYNTHETIC"
EDITED_FROM_DIGITS = 8
"""Of a scan's hash, in the label of what was edited from it: enough to tell it from others, and no name."""
OutputRange = Literal["native", "0-1", "int16"]
"""What voxels hold, see ``ccella_core.generation.options.GenerationOptions``."""
DTypeName = Literal["auto", "float32", "bfloat16", "float16"]
"""Of the networks' arithmetic, see ``ccella_core.devices.choose_dtype``."""
MAX_COUNT = 64
"""Examinations of one request: they are all held in memory, and a longer list is better made in several calls."""
MAX_STEPS = 1000
"""Inference steps, of every noise schedule so far; a model with a shorter one says so itself."""
NUM_SEEDS = 2**63
"""A seed is a whole number from 0 to one less than this: what a torch.Generator takes, without the negative ones."""
MAX_NAME_CHARACTERS = 100
"""Of a name that files get."""
MAX_NAME_BYTES = 180
"""Of the same in UTF-8: with what is added to it, a file's name stays below the 255 bytes that file systems take."""
MAX_REQUEST_BYTES = 2**20
"""Of a line to the worker: fifty times the longest report. What is longer is not kept in memory."""
MAX_REPLY_BYTES = 4 * 2**20
"""Of a line from the worker; no message is nearly as long."""
GIB = 2**30


def synthetic_title(source_sha256: str | None) -> str:
    """What a volume is called before anything else: synthetic and, if so, edited from what."""
    if source_sha256 is None:
        return SYNTHETIC_PREFIX
    return f"{SYNTHETIC_PREFIX} (EDITED FROM {source_sha256[:EDITED_FROM_DIGITS]})"


def synthetic_label(source_sha256: str | None) -> str:
    """What is written on and into a volume, wherever it goes."""
    return SYNTHETIC_LABEL.replace(SYNTHETIC_PREFIX, synthetic_title(source_sha256))


_FORBIDDEN_IN_NAMES = re.compile(r'[<>:"/\\|?*]')  # by one file system or another
_RESERVED_NAMES = re.compile(r"(con|prn|aux|nul|com[\d¹²³]|lpt[\d¹²³]|conin\$|conout\$)( *\..*)?", re.IGNORECASE)
"""What Windows takes for a device, whatever its ending."""
_NO_BEGINNINGS = " .=+-@~"
"""A hidden file, a formula in a table, an option of a command, somebody's home."""


def is_file_name(name: str) -> bool:
    """Whether files can be named so on every system, alone or with something before and after the name.

    The one rule for cases, models' volumes and rows of a batch.
    """
    fits = len(name) <= MAX_NAME_CHARACTERS and len(name.encode("utf-8", "surrogatepass")) <= MAX_NAME_BYTES
    return (
        bool(name)
        and fits
        and name.isprintable()  # no control characters, no halves of characters
        and name[0] not in _NO_BEGINNINGS
        and name[-1] not in " ."
        and not _FORBIDDEN_IN_NAMES.search(name)
        and not _RESERVED_NAMES.fullmatch(name)
    )
