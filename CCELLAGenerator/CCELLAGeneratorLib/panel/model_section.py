"""The models: which there are, what they are for, what the chosen one will take; adding, fetching, deleting them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..client.errors import ClientError
from .debounced import DebouncedQuery
from .job_section import JobSection, duration_text
from .widgets import enable_or_explain, fill, set_text

FOLDERS_KEY = "CCELLAGenerator/modelFolders"
HUB_PREFIX = "hf:"
MEGABYTE = 1e6

Description = dict[str, Any]


class ModelSection:
    """The choice of a model is a parameter; here is what the worker tells of it.

    Args:
        ui: the panel's widgets.
        logic: forwards to the worker.
        job: shows a download.
        on_list_outdated: called when models may have come or gone; the list is to be asked for again.
        on_estimate: called when `why_not` may have changed.
    """

    def __init__(
        self,
        ui: Any,
        logic: Any,
        job: JobSection,
        on_list_outdated: Callable[[], None],
        on_estimate: Callable[[], None],
    ) -> None:
        self._ui = ui
        self._logic = logic
        self._job = job
        self._on_list_outdated = on_list_outdated
        self._on_estimate = on_estimate
        self._models: dict[str, Description] | None = None
        self._estimated: dict[str, Any] | None = None
        self._query = DebouncedQuery(logic.estimate, self._show_estimate)
        self.computer = ""
        """The other computer on which the models lie; empty for this one."""
        self.chosen: Description | None = None
        """What the worker told of the chosen model; ``None`` where it does not know it, or was not asked yet."""
        ui.addFolderButton.connect("clicked(bool)", self._add_folder)
        ui.removeFolderButton.connect("clicked(bool)", self._remove_folder)
        ui.openFolderButton.connect("clicked(bool)", self._open_folder)
        ui.deleteModelButton.connect("clicked(bool)", self._delete)
        ui.downloadButton.connect("clicked(bool)", self._download)
        ui.downloadName.connect("textChanged(QString)", self._update_buttons)

    @property
    def known(self) -> bool:
        """Whether the worker has told which models there are."""
        return self._models is not None

    @property
    def why_not(self) -> str:
        """Why nothing can be generated with the chosen model, in a sentence; empty where it can."""
        if self.known and self.chosen is None:
            if self.computer:
                return _("This model is not on {host}: choose another one.").format(host=self.computer)
            return _("This model is not on this computer: choose another one, or add or download it.")
        if self.chosen is not None and self.chosen["problem"]:
            return _("This model cannot be used: {problem}").format(problem=self.chosen["problem"])
        if self._estimated is not None and not self._estimated["fits"]:
            return estimate_text(self._estimated)
        return ""

    def set_models(self, descriptions: list[Description]) -> None:
        """What the worker found."""
        self._models = keyed(descriptions)
        items = [(_title(model), key) for key, model in self._models.items()]
        there = _("{value} (not there)") if self.computer else _("{value} (not on this computer)")
        fill(self._ui.modelBox, items, there)

    def refresh(self, key: str, requested: dict[str, Any], *, again: bool = False) -> None:
        """Show the model of that key, and its estimate for what is requested: parameters of the logic's `estimate`.

        With `again` the estimate is asked for even if that is the same: memory and times change.
        """
        self.chosen = (self._models or {}).get(key)
        usable = self.chosen is not None and not self.chosen["problem"]
        set_text(self._ui.modelDetails, details(self.chosen) if self.chosen else escape(self.why_not))
        self._ui.modelDetails.toolTip = self.chosen["path"] if self.chosen else ""
        self._query.put({"model": key, **requested} if usable else None, again=again)
        self._update_buttons()

    def close(self) -> None:
        """Ask for no estimate any more."""
        self._query.close()

    def _show_estimate(self, value: dict[str, Any] | None) -> None:
        self._estimated = value
        text = escape(estimate_text(value)) if value else ""
        set_text(self._ui.estimateLabel, f"<b>{text}</b>" if value and not value["fits"] else text)
        self._on_estimate()

    def _update_buttons(self, _text: str = "") -> None:
        """Switch the buttons on, or say why they are off."""
        elsewhere = _("The models of another computer are managed there.") if self.computer else ""
        busy = _("Wait until what is under way has ended.") if self._job.running else ""
        early = "" if self.known else _("Wait until it is known which models are on this computer.")
        unknown = early or ("" if self.chosen else _("The model is not on this computer."))
        kept = "" if self.chosen and self.chosen["deletable"] else _("Only models that were downloaded can be deleted.")
        named = self._ui.downloadName.text.strip().removeprefix(HUB_PREFIX)
        nameless = "" if "/" in named else _("Type the model's name first, as hf:owner/name.")
        not_added = "" if self._added_folder else _("Only folders that were added can be taken off the list.")
        enable_or_explain(
            self._ui.removeFolderButton,
            elsewhere or not_added,
            _("Takes the model's folder off the list; its files stay."),
        )
        enable_or_explain(self._ui.addFolderButton, elsewhere, _("Add a folder with models that is on this computer."))
        enable_or_explain(self._ui.openFolderButton, elsewhere or unknown, _("Shows the model's files."))
        enable_or_explain(
            self._ui.deleteModelButton, elsewhere or unknown or kept or busy, _("Deletes the model from this computer.")
        )
        enable_or_explain(
            self._ui.downloadButton,
            elsewhere or early or nameless or busy,
            _("Fetches the model from the Hugging Face Hub."),
        )

    def _add_folder(self, _checked: bool) -> None:
        chosen = qt.QFileDialog.getExistingDirectory(self._ui.modelBox, _("Add a folder with models"), "")
        if chosen and chosen not in model_folders():
            qt.QSettings().setValue(FOLDERS_KEY, json.dumps([*model_folders(), chosen]))
        if chosen:
            self._on_list_outdated()

    @property
    def _added_folder(self) -> str:
        """The folder on the user's list in which the chosen model was found; empty where there is none."""
        if self.chosen is None:
            return ""
        within = (Path(self.chosen["path"]), Path(self.chosen["path"]).parent)
        return next((folder for folder in model_folders() if Path(folder) in within), "")

    def _remove_folder(self, _checked: bool) -> None:
        left = [folder for folder in model_folders() if folder != self._added_folder]
        qt.QSettings().setValue(FOLDERS_KEY, json.dumps(left))
        self._on_list_outdated()

    def _open_folder(self, _checked: bool) -> None:
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(self.chosen["path"]))

    def _delete(self, _checked: bool) -> None:
        question = _("Delete the model {name} from this computer? It can only be had again by downloading it.")
        if slicer.util.confirmOkCancelDisplay(question.format(name=self.chosen["name"])):
            path = self.chosen["path"]
            self._job.begin(_("Deleting the model…"))
            self._logic.deleteModel(path, onResult=self._deleted, onError=self._failed)

    def _deleted(self, _value: dict[str, Any]) -> None:
        self._job.end(_("The model was deleted."))
        self._on_list_outdated()

    def _download(self, _checked: bool) -> None:
        name = HUB_PREFIX + self._ui.downloadName.text.strip().removeprefix(HUB_PREFIX)
        question = _(
            "Download {name} from the Hugging Face Hub? This can be several GB. "
            "Whoever put the model there answers for its licence and its quality."
        )
        if slicer.util.confirmOkCancelDisplay(question.format(name=name)):
            number = self._logic.download(
                name, onResult=self._downloaded, onError=self._failed, onProgress=self._job.show_progress
            )
            self._job.begin(_("Downloading {name}…").format(name=name), partial(self._logic.cancelRequest, number))

    def _downloaded(self, model: Description) -> None:
        self._ui.downloadName.text = ""
        self._job.end(_("{name} was downloaded and can be chosen above.").format(name=model["name"]))
        self._on_list_outdated()

    def _failed(self, error: ClientError) -> None:
        self._job.fail(error)
        self._on_list_outdated()


def model_folders() -> list[str]:
    """The folders that the user has added."""
    try:
        folders = json.loads(slicer.util.settingsValue(FOLDERS_KEY, "[]"))
    except (TypeError, ValueError):
        return []
    return [folder for folder in folders if isinstance(folder, str)] if isinstance(folders, list) else []


def keyed(descriptions: list[Description]) -> dict[str, Description]:
    """Each by what the worker finds it under: its name, so that a scene finds it on another computer; or its path.

    The first of a name hides the others; those in folders that the user added are found under their path only.
    """
    models: dict[str, Description] = {}
    for model in descriptions:
        by_name = model["origin"] != "folder" and model["name"] not in models
        models[model["name"] if by_name else model["path"]] = model
    return models


def details(model: Description) -> str:
    """What a user should know of a model before using it, a line each."""
    if model["problem"]:
        return _("This model cannot be used: {problem}").format(problem=escape(model["problem"]))
    size = " × ".join(map(str, model["native_shape"]))
    spacing = " × ".join(f"{length:g}" for length in model["native_spacing_mm"])
    lines = [
        escape(model["description"]),
        _("<b>For:</b> {use}").format(use=escape(model["intended_use"])),
        _("<b>Licence:</b> {licence}; {megabytes} MB on disk").format(
            licence=escape(model["licence"]), megabytes=round(model["size_bytes"] / MEGABYTE)
        ),
        _("<b>Draws:</b> {sequences}, {size} voxels of {spacing} mm").format(
            sequences=escape(", ".join(model["sequences"])), size=size, spacing=spacing
        ),
    ]
    return "<br>".join(line for line in lines if line)


def estimate_text(value: dict[str, Any]) -> str:
    """The worker's estimate in words."""
    needed, free, device = value["memory_gib"], value["available_gib"], value["device"]
    if not value["fits"]:
        return _(
            "This needs about {needed:.1f} GiB of memory, and {free:.1f} GiB are free on {device}: "
            "choose another model or device, or close other programs."
        ).format(needed=needed, free=free, device=device)
    if value["basis"] == "measured":
        time = _("Takes about {duration}, as the last run did.")
    else:
        time = _("Takes very roughly {duration}, not counting the loading.")
    memory = _("Memory: up to {needed:.1f} of {free:.1f} GiB free on {device}.")
    duration = duration_text(value["seconds"])
    return f"{time.format(duration=duration)} {memory.format(needed=needed, free=free, device=device)}"


def _title(model: Description) -> str:
    name = f"{model['name']} {model['version'] or ''}".strip()
    if model["origin"] == "folder":
        return f"{name} ({Path(model['path']).parent.name})"
    return name
