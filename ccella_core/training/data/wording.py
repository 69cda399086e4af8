"""How the training reports are worded: found while a run has them, and kept in its folder until it is exported."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import ValidationError

from ccella_core.cases.prepared import PreparedSet
from ccella_core.errors import InputError
from ccella_core.files import read_bytes, write_json
from ccella_core.models.report_profile import FEWEST_PATIENTS, ReportProfile
from ccella_core.training.data.mirror import mirrored_report

PROFILE_NAME = "report_profile.json"

log = logging.getLogger(__name__)


def profile_of(prepared: PreparedSet, *, mirror: bool) -> ReportProfile | None:
    """Of the training reports of a prepared set, their mirrored ones too; ``None`` where there are too few."""
    patients: dict[str, list[str]] = {}
    for case in prepared.split("train"):
        for report in case.reports:
            other = mirrored_report(report) if mirror else None
            patients.setdefault(case.patient, []).extend([report] if other is None else [report, other])
    return ReportProfile.of(patients.values())


def keep_profile(run: Path, prepared: PreparedSet, *, mirror: bool) -> None:
    """Write it into the folder of a run. Raises SaveError."""
    profile = profile_of(prepared, mirror=mirror)
    if profile is not None:
        write_json(run / PROFILE_NAME, profile)


def kept_profile(run: Path) -> ReportProfile | None:
    """What the run kept; ``None`` where it kept none, which is said in the log.

    Raises:
        InputError: it is damaged.
    """
    try:
        return ReportProfile.model_validate_json(read_bytes(run / PROFILE_NAME))
    except FileNotFoundError:
        log.warning(
            "The run %s kept no profile of its reports (it needs %d patients with a report): the model will not say "
            "where a report is worded unlike them. `ccella models profile` adds one.", run, FEWEST_PATIENTS
        )  # fmt: skip
        return None
    except (OSError, ValidationError) as error:
        raise InputError(f"{run / PROFILE_NAME} cannot be read; remove it, or start the training again.") from error
