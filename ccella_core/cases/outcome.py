"""What became of a case's images, kept beside them, so that a run that was stopped does only what is left."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import Field, ValidationError

from ccella_core.cases.case import Case
from ccella_core.cases.prepared import STATE, PrepareSettings
from ccella_core.config import StrictModel
from ccella_core.files import read_bytes

RULES = 4
"""Raised whenever the rules change by which a case is prepared, so that none is kept that followed the old ones."""


class Outcome(StrictModel):
    """What became of one case's images."""

    fingerprint: str
    refused: str | None = None
    warnings: tuple[str, ...] = ()
    sha256: dict[str, str] = Field(default_factory=dict)
    source_spacing_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    source_shape: tuple[int, int, int] = (0, 0, 0)
    spacing_mm: tuple[float, float, float] | None = None
    has_regions: bool = False


def state_path(case: Case, out: Path) -> Path:
    """Where it is kept."""
    return out / STATE / f"{case.id}.json"


def known_outcome(case: Case, settings: PrepareSettings, out: Path) -> Outcome | None:
    """What is known already, where nothing has changed since and all files are there."""
    try:
        outcome = Outcome.model_validate_json(read_bytes(state_path(case, out)))
    except (OSError, ValidationError):
        return None
    if outcome.fingerprint != fingerprint_of(case, settings):
        return None
    return outcome if all((out / name).is_file() for name in outcome.sha256) else None


def fingerprint_of(case: Case, settings: PrepareSettings) -> str:
    """Changes with the rules, the settings, and the name, size or time of any file that the case is made from."""
    digest = hashlib.sha256(f"{RULES} {settings.identity()} {case.spacing_mm}".encode())
    sources: list[tuple[str, Path | None]] = [*case.images.items(), ("gland", case.gland), ("lesion", case.lesion)]
    for name, path in sources:
        if path is None:
            continue
        for file in _files(path):
            digest.update(f"{name} {file} {_state(file)}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _files(path: Path) -> list[Path]:
    """Those of a scan; of a folder what lies in it, as a series lies in one folder."""
    try:
        return sorted(path.iterdir()) if path.is_dir() else [path]
    except OSError:  # whoever reads it says why
        return [path]


def _state(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns
