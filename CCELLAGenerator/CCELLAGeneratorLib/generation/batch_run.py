"""Generates the rows of a table one after another; one that fails or cannot be used does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from ..client.errors import ClientError
from .batch import BatchOutcome, BatchRow, RowState
from .batch_folder import BatchFolder
from .run import GenerationRun

StartRow = Callable[..., GenerationRun]


class BatchRun:
    """Goes through the rows from ``start`` on; in a folder, rows that were done before are skipped.

    Args:
        rows: what to generate.
        start_row: ``(row, on_finished, on_error, on_progress) -> GenerationRun``.
        folder: takes the files; ``None`` where the volumes go into the scene.
        on_progress: called with every step, "row" (from 1) and "rows" added.
        on_row: called with each outcome as it comes.
        on_finished: called with all of them, once, unless the batch was abandoned.
        log: takes a line.
    """

    def __init__(
        self,
        rows: Sequence[BatchRow],
        start_row: StartRow,
        *,
        folder: BatchFolder | None = None,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
        on_row: Callable[[BatchOutcome], None] | None = None,
        on_finished: Callable[[list[BatchOutcome]], None] | None = None,
        log: Callable[[str], None],
    ) -> None:
        self.outcomes = [BatchOutcome(row) for row in rows]
        self.finished = False
        self._start_row = start_row
        self._folder = folder
        self._on_progress = on_progress
        self._on_row = on_row
        self._on_finished = on_finished
        self._log = log
        self._run: GenerationRun | None = None
        self._stopped = False
        for outcome in self.outcomes:
            if outcome.row.problem:
                outcome.state, outcome.message = "left_out", outcome.row.problem
            elif folder is not None and (volumes := folder.volumes_of(outcome.row)):
                outcome.state, outcome.volumes = "skipped", volumes

    def start(self) -> None:
        """Return at once; the rows follow in Slicer's event loop."""
        self._save_results()
        self._soon()

    def cancel(self) -> None:
        """Stop the row that is running and begin no other."""
        self._stopped = True
        if self._run is not None:
            self._run.cancel()

    def abandon(self) -> None:
        """End at once and call nobody back; the run of the current row is its owner's to abandon."""
        self._on_progress = self._on_row = self._on_finished = None
        self._stopped = True
        self._next()

    def _soon(self) -> None:
        # The next row does not begin inside the callback that ended the last, or a long table would nest too deep.
        qt.QTimer.singleShot(0, self._next)

    def _next(self) -> None:
        if self.finished:
            return
        waiting = [outcome for outcome in self.outcomes if outcome.state == "waiting"]
        if waiting and not self._stopped:
            self._begin(waiting[0])
            return
        for outcome in waiting:
            outcome.state = "cancelled"
        self._save_results()
        self.finished = True
        if self._on_finished is not None:
            self._on_finished(self.outcomes)

    def _begin(self, outcome: BatchOutcome) -> None:
        try:
            self._run = self._start_row(
                outcome.row,
                on_finished=lambda volumes: self._ended(outcome, "done", volumes=volumes),
                on_error=lambda error: self._failed(outcome, error),
                on_progress=lambda event: self._tell(outcome, event),
            )
        except ClientError as error:
            self._failed(outcome, error)

    def _failed(self, outcome: BatchOutcome, error: ClientError) -> None:
        if error.code == "cancelled":  # by the user, or because the scene was closed: nothing is left to do
            self._stopped = True
        self._ended(outcome, "cancelled" if error.code == "cancelled" else "failed", message=str(error))

    def _ended(self, outcome: BatchOutcome, state: RowState, *, volumes: Sequence[Any] = (), message: str = "") -> None:
        outcome.state, outcome.volumes, outcome.message = state, list(volumes), message
        self._run = None
        self._save_results()
        if self._on_row is not None:
            self._on_row(outcome)
        self._soon()

    def _tell(self, outcome: BatchOutcome, event: dict[str, Any]) -> None:
        if self._on_progress is not None:
            self._on_progress({**event, "row": self.outcomes.index(outcome) + 1, "rows": len(self.outcomes)})

    def _save_results(self) -> None:
        if self._folder is None:
            return
        try:
            self._folder.write_results(self.outcomes)
        except OSError as error:  # on Windows, a table that is open in Excel; the volumes are safe
            self._log(_("The table of results could not be written: {reason}.").format(reason=error))
