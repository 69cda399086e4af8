# ruff: noqa: N802, N803 - what scripts call is written as Slicer writes it
"""What the module can do without its panel: from a report to volumes in the scene, one by one or by the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..client.interface import Client
from ..scene.examinations import add_examinations
from .batch import BatchError, BatchOutcome, BatchRow, read_rows
from .batch_folder import BatchFolder
from .batch_run import BatchRun
from .run import Consumer, GenerationError, GenerationRun, check_nodes, save_error, stay_alive_until

DEFAULT_MODEL = "ccella-demo"

Callback = Callable[[Any], None]


class Generator:
    """Generates volumes with the worker and puts them into the scene. The worker starts with the first request.

    Args:
        client: sends requests to the worker.
        log: takes a line of the log.
    """

    def __init__(self, client: Client, log: Callable[[str], None] = print) -> None:
        self._client = client
        self._log = log
        self._runs: list[GenerationRun] = []
        self._batch: BatchRun | None = None

    def process(
        self,
        report: str | None = None,
        pathology: str | float | None = None,
        model: str | Path = DEFAULT_MODEL,
        seed: int | None = None,
        count: int = 1,
        numInferenceSteps: int | None = None,
        scheduler: str | None = None,
        guidanceScale: float | None = None,
        device: str = "auto",
        referenceVolume: slicer.vtkMRMLVolumeNode | None = None,
        outputVolume: slicer.vtkMRMLScalarVolumeNode | None = None,
        shape: Sequence[int] | None = None,
        spacing: Sequence[float] | None = None,
        wait: bool = True,
        onProgress: Callback | None = None,
        onPreview: Callback | None = None,
        onFinished: Callback | None = None,
        onError: Callback | None = None,
        **options: Any,
    ) -> list[slicer.vtkMRMLScalarVolumeNode] | int:
        """Generate volumes of one report and add them to the scene.

        Args:
            report: the radiology report; ``None`` for models that read none.
            pathology: ``"negative"``, ``"positive"``, a probability of positive, or ``None``: as the report says.
            model: the model: a name, a folder, or ``hf:owner/name``.
            seed: of the first volume; the others get the numbers that follow. ``None`` draws a new one.
            count: how many volumes; a model of several sequences gives one of each for every seed.
            numInferenceSteps: by default the model's own number.
            scheduler: by default the model's own.
            guidanceScale: 1 is off; by default as the model has it.
            device: ``"auto"``, ``"cpu"``, ``"cuda:0"``, …
            referenceVolume: the real scan to lay the volumes on.
            outputVolume: takes the first volume: an empty node, or a synthetic one, which is replaced.
            shape: (X, Y, Z) in voxels, by default the model's own.
            spacing: (X, Y, Z) in mm, by default the model's own.
            wait: return when it is done; Slicer's window stays alive meanwhile.
            onProgress: called with every step, a dict.
            onPreview: called with the volume as it forms, the bytes of a PNG.
            onFinished: called with the nodes. Either it or ``onError`` is called, once.
            onError: called with the ``ClientError``.
            **options: any other of the library's ``GenerationOptions``, by its name there: ``output_range="int16"``.

        Returns:
            The nodes; with ``wait=False`` the request's number, at once.

        Raises:
            GenerationError: a volume node cannot be used; with ``wait``, whatever else goes wrong.
        """
        check_nodes(referenceVolume, outputVolume)

        def add(value: dict[str, Any]) -> list[slicer.vtkMRMLScalarVolumeNode]:
            check_nodes(referenceVolume, outputVolume)  # again: much may have happened to them meanwhile
            return add_examinations(value, referenceVolume, outputVolume)

        run = self._start(
            {
                "report": report,
                "pathology": _plain(pathology),
                "model": str(model),
                "seed": _plain(seed),
                "count": _plain(count),
                "num_inference_steps": _plain(numInferenceSteps),
                "scheduler": scheduler,
                "guidance_scale": _plain(guidanceScale),
                "device": device,
                "shape": None if shape is None else [_plain(size) for size in shape],
                "spacing": None if spacing is None else [_plain(length) for length in spacing],
                **options,
            },
            add,
            nodes=[node for node in (referenceVolume, outputVolume) if node is not None],
            on_progress=onProgress,
            on_preview=onPreview,
            on_finished=onFinished,
            on_error=onError,
        )
        return run.wait() if wait else run.request_id

    def processBatch(
        self,
        csvPath: str | Path,
        outputFolder: str | Path | None = None,
        model: str | Path = DEFAULT_MODEL,
        scheduler: str | None = None,
        guidanceScale: float | None = None,
        device: str = "auto",
        referenceVolume: slicer.vtkMRMLVolumeNode | None = None,
        wait: bool = True,
        onProgress: Callback | None = None,
        onRow: Callback | None = None,
        onFinished: Callback | None = None,
    ) -> list[BatchOutcome] | None:
        """Generate the volumes of every row of a table; ``docs/scripting.md`` says how it is written.

        Args:
            csvPath: the table.
            outputFolder: takes the files, and a table of results; rows that it holds already are skipped. By default
                the volumes go into the scene.
            model: as in ``process``, for all rows.
            scheduler: as in ``process``, for all rows.
            guidanceScale: as in ``process``, for all rows.
            device: as in ``process``, for all rows.
            referenceVolume: the real scan to lay the volumes in the scene on.
            wait: return when all rows are done; Slicer's window stays alive meanwhile.
            onProgress: called with every step (a dict, with "row" and "rows").
            onRow: called with each ``BatchOutcome`` as it comes.
            onFinished: called with all of them, once.

        Returns:
            What became of each row, in their order; with ``wait=False`` nothing, at once.

        Raises:
            GenerationError: the table or the folder cannot be used, or no row can, and nothing was started. A row that
                cannot be used among others is ``left_out``, with the reason.
        """
        check_nodes(referenceVolume, None)
        if self._batch is not None:
            raise GenerationError("busy", _("A batch is running already."), _("Wait for it, or cancel it."))
        try:
            rows = read_rows(Path(csvPath), self._log)
            folder = None if outputFolder is None else BatchFolder(Path(outputFolder).absolute())
            if folder is not None:
                rows = folder.checked(rows)
        except BatchError as error:
            raise GenerationError("input", str(error)) from error
        except OSError as error:
            raise save_error(error) from error

        def start_row(row: BatchRow, **callbacks: Callback) -> GenerationRun:
            params = {
                "report": row.report,
                "pathology": row.pathology,
                "model": str(model),
                "seed": row.seed,
                "count": row.count,
                "num_inference_steps": row.steps,
                "scheduler": scheduler,
                "guidance_scale": _plain(guidanceScale),
                "device": device,
                "name": row.name,
            }
            if folder is not None:
                return self._start(params, folder.take, in_scene=False, parent_folder=folder.path, **callbacks)
            nodes = [] if referenceVolume is None else [referenceVolume]
            return self._start(
                params, lambda value: add_examinations(value, referenceVolume, title=row.name), nodes=nodes, **callbacks
            )

        def finish(outcomes: list[BatchOutcome]) -> None:
            self._batch = None
            if onFinished is not None:
                onFinished(outcomes)

        batch = self._batch = BatchRun(
            rows, start_row, folder=folder, on_progress=onProgress, on_row=onRow, on_finished=finish, log=self._log
        )
        batch.start()
        if not wait:
            return None
        stay_alive_until(lambda: batch.finished)
        return batch.outcomes

    def cancel(self) -> None:
        """Stop whatever is being generated; those who wait for it hear of it within a second."""
        if self._batch is not None:
            self._batch.cancel()
        for run in list(self._runs):
            run.cancel()

    def cancelRequest(self, number: int) -> None:
        """Stop one request that is no generation, such as a download; its ``onError`` gets the code "cancelled"."""
        self._client.cancel(number)

    def close(self) -> None:
        """End the worker and all runs; nobody is called back, and calls that wait raise ``GenerationError``."""
        self._client.close()
        for run in self._runs:
            run.abandon()
        self._runs.clear()
        if self._batch is not None:
            self._batch.abandon()
            self._batch = None

    def describe(self, modelFolders: Sequence[str | Path] = (), *, onResult: Callback, onError: Callback) -> int:
        """Ask for models and devices; ``onResult`` gets the worker's answer. Returns the request's number."""
        params = {"model_folders": [str(folder) for folder in modelFolders]}
        return self._ask("describe", params, onResult, onError)

    def countTokens(
        self, report: str, model: str | Path = DEFAULT_MODEL, *, onResult: Callback, onError: Callback
    ) -> int:
        """Ask how long a report is to the model, and whether it is worded unlike those that it was trained on.

        Returns:
            The request's number; ``onResult`` gets "tokens", "limit", "truncated" and "outside".
        """
        return self._ask("count_tokens", {"model": str(model), "report": report}, onResult, onError)

    def estimate(
        self,
        model: str | Path = DEFAULT_MODEL,
        device: str = "auto",
        numInferenceSteps: int | None = None,
        count: int = 1,
        guidanceScale: float | None = None,
        *,
        onResult: Callback,
        onError: Callback,
    ) -> int:
        """Ask for the time and memory that a generation will take. Returns the request's number."""
        params = {
            "model": str(model),
            "device": device,
            "num_inference_steps": numInferenceSteps,
            "count": count,
            "guidance_scale": guidanceScale,
        }
        return self._ask("estimate", params, onResult, onError)

    def download(self, name: str, *, onResult: Callback, onError: Callback, onProgress: Callback | None = None) -> int:
        """Fetch the model ``hf:owner/name``; ``onResult`` gets its description. Returns the request's number."""
        return self._ask("download", {"name": name}, onResult, onError, onProgress)

    def readStudy(self, folder: str | Path, *, onResult: Callback, onError: Callback) -> int:
        """Ask for what came out of a reader study: "page", "text". Returns the request's number.

        Raises GenerationError while another computer generates: it does not see the study's folder.
        """
        if self._client.host:
            raise GenerationError(
                "input",
                _("The study lies on this computer, and {host} generates.").format(host=self._client.host),
                _("Press Back to this computer, and ask again."),
            )
        return self._ask("read_study", {"folder": str(folder)}, onResult, onError)

    def deleteModel(self, path: str | Path, *, onResult: Callback, onError: Callback) -> int:
        """Delete a model that was downloaded. Returns the request's number."""
        return self._ask("delete", {"path": str(path)}, onResult, onError)

    def _start(self, params: dict[str, Any], consume: Consumer, **options: Any) -> GenerationRun:
        """A run with the ``options`` of ``GenerationRun``. Raises GenerationError if no folder can be made."""
        self._runs = [run for run in self._runs if run.outcome is None]
        try:
            run = GenerationRun(self._client, params, consume, log=self._log, **options)
        except OSError as error:
            raise save_error(error) from error
        self._runs.append(run)
        return run

    def _ask(
        self,
        method: str,
        params: dict[str, Any],
        on_result: Callback,
        on_error: Callback,
        on_progress: Callback | None = None,
    ) -> int:
        return self._client.request(method, params, on_result=on_result, on_error=on_error, on_progress=on_progress)


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, which JSON has."""
    return value.item() if isinstance(value, np.generic) else value
