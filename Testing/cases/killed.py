"""Work of other processes, which import it by name."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from ccella_core.cases.case import Case
from ccella_core.cases.prepare import Outcome, prepare_case
from ccella_core.cases.prepared import PrepareSettings


def ending_its_process(case: Case, settings: PrepareSettings, out: Path) -> Outcome:
    """Prepares a case, but for the one called killer, at which the process ends as the system ends one."""
    if case.id == "killer":
        os.kill(os.getpid(), signal.SIGKILL)
    return prepare_case(case, settings, out)
