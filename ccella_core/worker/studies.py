"""What came out of a reader study: ``read_study``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ccella_core.evaluation.readers.report import readers_markdown, save_reader_result
from ccella_core.evaluation.readers.scores import evaluate_readers
from ccella_core.worker.params import ReadStudyParams, read_params
from ccella_core.worker.tasks import Task, WorkerState


def read_study(task: Task, state: WorkerState) -> dict[str, Any]:
    """Score a study whose readers are done, and write page and tables into its folder.

    Raises:
        InputError: see ``evaluate_readers``.
        SaveError: the disk refuses.
    """
    folder = Path(read_params(ReadStudyParams, task).folder)
    result = evaluate_readers(folder)
    return {"page": str(save_reader_result(result, folder)), "text": readers_markdown(result)}
