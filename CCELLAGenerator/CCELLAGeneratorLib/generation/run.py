"""One generation, from the request to its single end, with the files and the nodes that it needs."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..client.command import shared_files
from ..client.errors import ClientError, cancelled
from ..client.interface import Client
from ..scene.geometry import has_extent
from ..scene.volumes import is_synthetic

POLL_SECONDS = 0.01
"""How long a waiting call sleeps between two rounds of events: too short to be felt, and it rests the processor."""

OWNER_ONLY = 0o700
"""Of a folder with images and sidecars, which hold reports."""

Consumer = Callable[[dict[str, Any]], list[Any]]


class GenerationError(ClientError):
    """A generation that gave no volumes; ``code``, ``message`` and ``hint`` are those of ``ClientError``."""


class GenerationRun:
    """Sends the request when it is made, and ends once: with what ``consume`` made of the result, or with an error.

    Args:
        client: to the worker.
        params: of the worker's ``generate``, without ``output_dir``.
        consume: makes nodes or files of the worker's result, and may raise OSError or ClientError. What it leaves in
            the run's folder is deleted.
        nodes: of the scene, without which the result is of no use; if one is removed, the result is dropped.
        in_scene: the result goes into the scene; if that is closed, the run is cancelled.
        inputs: writes into the run's own folder what the worker is to read, and gives the parameters that name it.
        parent_folder: where the run's own folder is made; by default where Slicer keeps temporary files.
        on_finished, on_error: called at the end, one of them, unless the run was abandoned.
        on_progress, on_preview: passed on to the client.
        log: takes a line.

    Raises:
        OSError: no folder can be made, or nothing be written into it. What ``inputs`` raises is passed on.
    """

    def __init__(
        self,
        client: Client,
        params: dict[str, Any],
        consume: Consumer,
        *,
        nodes: Sequence[slicer.vtkMRMLNode] = (),
        in_scene: bool = True,
        inputs: Callable[[Path], dict[str, Any]] | None = None,
        parent_folder: Path | None = None,
        on_finished: Callable[[list[Any]], None] | None = None,
        on_error: Callable[[ClientError], None] | None = None,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
        on_preview: Callable[[bytes], None] | None = None,
        log: Callable[[str], None],
    ) -> None:
        self.outcome: list[Any] | ClientError | None = None
        """What it ended with; ``None`` while it runs."""
        self._client = client
        self._consume = consume
        self._nodes = tuple(nodes)
        self._on_finished = on_finished
        self._on_error = on_error
        self._log = log
        self._dropped: ClientError | None = None
        files = shared_files()
        parent = Path(parent_folder or slicer.app.temporaryPath)
        files.sweep(parent)  # what a Slicer left that was killed
        self._folder = files.hidden_name(parent)
        self._folder.mkdir(mode=OWNER_ONLY)
        try:
            written = {} if inputs is None else inputs(self._folder)
        except Exception:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._scene = slicer.mrmlScene
        closing = slicer.vtkMRMLScene.StartCloseEvent
        self._observer = self._scene.AddObserver(closing, self._scene_closes) if in_scene else None
        self.request_id = client.request(
            "generate",
            {**params, **written, "output_dir": str(self._folder)},
            on_result=self._receive,
            on_error=self._fail,
            on_progress=on_progress,
            on_preview=on_preview,
        )

    def wait(self) -> list[Any]:
        """Return what it made, with Slicer's window alive meanwhile. Raises GenerationError."""
        stay_alive_until(lambda: self.outcome is not None)
        if isinstance(self.outcome, ClientError):
            raise GenerationError(self.outcome.code, self.outcome.message, self.outcome.hint) from self.outcome
        return self.outcome

    def cancel(self) -> None:
        """Ask for an end; it comes through ``on_error``, with the code "cancelled"."""
        if self.outcome is None:
            self._client.cancel(self.request_id)

    def abandon(self) -> None:
        """End at once and call nobody back; for a client that was closed, from which nothing will come."""
        if self.outcome is None:
            self._end(cancelled())

    def _scene_closes(self, _scene: slicer.vtkMRMLScene, _event: str) -> None:
        self._drop(_("The scene was closed, so the volume that was being generated for it was dropped."))
        self.cancel()

    def _drop(self, reason: str) -> None:
        self._log(reason)
        self._dropped = ClientError("cancelled", reason)

    def _receive(self, value: dict[str, Any]) -> None:
        if not all(self._scene.IsNodePresent(node) for node in self._nodes):
            self._drop(_("A volume that the result was meant for was removed, so the result was dropped."))
        if self._dropped is not None:
            self._fail(self._dropped)
            return
        try:
            made = self._consume(value)
        except ClientError as error:
            self._fail(error)
        except OSError as error:
            self._fail(save_error(error))
        except Exception as error:  # else nobody would ever hear of the end
            self._log(traceback.format_exc())
            reason = f"{type(error).__name__}: {error}"
            self._fail(ClientError("internal", _("The result could not be used ({reason}).").format(reason=reason)))
        else:
            self._end(made)
            if self._on_finished is not None:
                self._on_finished(made)

    def _fail(self, error: ClientError) -> None:
        if self._dropped is None:
            kept = self._keep(error.finished)
            hint = f"{error.hint} {kept}".strip()
            error = ClientError(error.code, error.message, hint, error.finished)
        else:
            error = self._dropped
        self._end(error)
        if self._on_error is not None:
            self._on_error(error)

    def _keep(self, finished: dict[str, Any]) -> str:
        """Bring volumes into the scene that were finished before a failure: they took time, and are whole.

        Returns a sentence that names them; empty where there are none.
        """
        in_scene = self._observer is not None
        wanted = all(self._scene.IsNodePresent(node) for node in self._nodes)
        if not (finished.get("volumes") and in_scene and wanted):
            return ""
        try:
            kept = self._consume(finished)
        except Exception:  # the first failure is the one that is reported
            self._log(traceback.format_exc())
            return ""
        return _("Finished before, and kept: {names}.").format(names=", ".join(node.GetName() for node in kept))

    def _end(self, outcome: list[Any] | ClientError) -> None:
        self.outcome = outcome
        if self._observer is not None:
            self._scene.RemoveObserver(self._observer)
        shutil.rmtree(self._folder, ignore_errors=True)


def check_nodes(reference: slicer.vtkMRMLVolumeNode | None, output: slicer.vtkMRMLScalarVolumeNode | None) -> None:
    """Raises GenerationError where a result could not be laid, or would overwrite what is not synthetic."""
    for value in (reference, output):
        if value is not None and not isinstance(value, slicer.vtkMRMLNode):
            raise GenerationError(
                "input",
                _("A volume is given as a node of the scene, not as {value}.").format(value=repr(value)),
                _("slicer.util.getNode(name) gives the node of a name."),
            )
    if reference is not None and not (reference.IsA("vtkMRMLVolumeNode") and reference.GetImageData()):
        raise GenerationError("input", _("The real scan is not a volume with an image; choose another one."))
    if reference is not None and not has_extent(reference):
        raise GenerationError(
            "input",
            _("The real scan {name} has no extent: a transform over it, or its own geometry, flattens it.").format(
                name=reference.GetName()
            ),
            _("Take the transform away, or choose another scan."),
        )
    if output is None:
        return
    if not output.IsA("vtkMRMLScalarVolumeNode") or output.IsA("vtkMRMLLabelMapVolumeNode"):
        raise GenerationError("input", _("The output is not a scalar volume; choose another one."))
    if output is reference or (output.GetImageData() and not is_synthetic(output)):
        raise GenerationError(
            "input",
            _("The output volume {name} holds an image that is not synthetic.").format(name=output.GetName()),
            _("Choose a new volume, or a synthetic one to replace."),
        )


def save_error(error: OSError) -> GenerationError:
    """A file or folder could not be written, with what to do."""
    return GenerationError("save", str(error), _("Free disk space or choose another folder; then try again."))


def stay_alive_until(done: Callable[[], bool]) -> None:
    """Work off Slicer's events until ``done``."""
    while not done():
        slicer.app.processEvents()
        time.sleep(POLL_SECONDS)
