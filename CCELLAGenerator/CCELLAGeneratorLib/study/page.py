"""The second page of the module: make a reader study, answer its cases, see what came out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from .. import dependencies
from ..client.command import ensure_core_on_path
from ..client.errors import ClientError
from ..panel.widgets import enable_or_explain, set_text
from .sources import SourceError, images_of_folder, volumes_of_scene
from .views import StudyViews

if TYPE_CHECKING:
    from ccella_core.evaluation.readers.sheets import ReaderStudy, StudyCase

SINGLE, PAIRS = 0, 1
FROM_FOLDERS = 0
NOT_SAID = 0
"""Of the choices: the first says nothing yet."""


class StudyPage:
    """Wires the page; the study itself is files in its folder.

    Args:
        ui: the widgets of ``ReaderStudy.ui``.
        logic: asks the worker for the results.
        begin: called before the views are used, so that nothing else holds them.
        clock: in seconds.
    """

    def __init__(
        self, ui: Any, logic: Any, begin: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ui = ui
        self._logic = logic
        self._begin = begin
        self._clock = clock
        self._views = StudyViews()
        self._study: ReaderStudy | None = None
        self._case: StudyCase | None = None
        self._shown_at = 0.0
        self._closed = False
        for button, edit in (
            (ui.studyFolderButton, ui.studyFolderEdit),
            (ui.syntheticFolderButton, ui.syntheticFolderEdit),
            (ui.realFolderButton, ui.realFolderEdit),
        ):
            button.connect("clicked(bool)", lambda _checked=False, edit=edit: self._choose_folder(edit))
        ui.makeButton.connect("clicked(bool)", self._make)
        ui.readButton.connect("clicked(bool)", self._read)
        ui.lesionButton.connect("clicked(bool)", self._mark)
        ui.nextButton.connect("clicked(bool)", self._save)
        ui.stopButton.connect("clicked(bool)", lambda _checked=False: self.stop())
        ui.resultsButton.connect("clicked(bool)", self._ask_for_results)
        ui.sourceBox.connect("currentIndexChanged(int)", self._show)
        for box in (ui.answerBox, ui.confidenceBox, ui.qualityBox):
            box.connect("currentIndexChanged(int)", self._show)
        self._show()

    @property
    def active(self) -> bool:
        """Whether a case is shown."""
        return self._case is not None

    def stop(self) -> None:
        """Leave off; what was answered is on the disk, and the case that is shown is shown again next time."""
        was_active, self._case = self.active, None
        self._views.close()
        if was_active:
            self._say(_("Interrupted. The same reader goes on with the case that was shown."))
        self._show()

    def close(self) -> None:
        """Let go of everything; no answer of the worker reaches the page after this."""
        self._closed, self._case = True, None
        self._views.close()

    def _choose_folder(self, edit: Any) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self._ui.studyFolderEdit, _("Choose a folder"), edit.text)
        if folder:
            edit.text = folder

    def _make(self, _checked: bool = False) -> None:
        ensure_core_on_path()
        from ccella_core.errors import CCELLAError
        from ccella_core.evaluation.readers.sheets import ReaderStudy

        ui = self._ui
        try:
            if ui.sourceBox.currentIndex == FROM_FOLDERS:
                synthetic = images_of_folder(Path(ui.syntheticFolderEdit.text), synthetic=True)
                real = images_of_folder(Path(ui.realFolderEdit.text), synthetic=False)
            else:
                synthetic, real = volumes_of_scene()
            design = "pairs" if ui.designBox.currentIndex == PAIRS else "single"
            study = ReaderStudy.make(self._folder(), synthetic, real, design=design)
        except (CCELLAError, SourceError) as error:
            self._say(str(error))
            return
        self._say(
            _("The study has {cases} cases. Write a reader's name and press Read.").format(cases=len(study.cases))
        )

    def _read(self, _checked: bool = False) -> None:
        ensure_core_on_path()
        from ccella_core.errors import CCELLAError
        from ccella_core.evaluation.readers.sheets import ReaderStudy

        try:
            study = ReaderStudy.open(self._folder())
            case = study.next_case(self._reader)
        except (CCELLAError, SourceError) as error:
            self._say(str(error))
            return
        self._study = study
        if case is None:
            self._say(_("{reader} has answered all cases of this study.").format(reader=self._reader))
            return
        self._begin()
        self._show_case(case)

    def _show_case(self, case: StudyCase) -> None:
        try:
            self._views.show(case.name, case.volumes)
        except SourceError as error:
            self.stop()
            self._say(str(error))
            return
        self._case = case
        for box in (self._ui.answerBox, self._ui.confidenceBox, self._ui.qualityBox, self._ui.piradsBox):
            box.currentIndex = NOT_SAID
        words = (_("Synthetic"), _("Real")) if len(case.volumes) == 1 else (_("The left one"), _("The right one"))
        for place, word in enumerate(words, start=1):
            self._ui.answerBox.setItemText(place, word)
        self._say("")
        self._show()
        self._shown_at = self._clock()

    def _mark(self, _checked: bool = False) -> None:
        self._views.place_point()

    def _save(self, _checked: bool = False) -> None:
        from ccella_core.errors import CCELLAError
        from ccella_core.evaluation.readers.sheets import Answer

        ui = self._ui
        answer = Answer(
            case=self._case.name,
            says_synthetic=ui.answerBox.currentIndex == 1,
            confidence=ui.confidenceBox.currentIndex,
            quality=ui.qualityBox.currentIndex,
            pirads=ui.piradsBox.currentIndex or None,
            location=self._views.point,
            seconds=self._clock() - self._shown_at,
        )
        try:
            self._study.save(self._reader, answer)
            case = self._study.next_case(self._reader)
        except CCELLAError as error:
            self._say(str(error))  # the case stays, and its answer with it
            return
        if case is not None:
            self._show_case(case)
            return
        self._case = None
        self._views.close()
        self._say(_("That was the last case. Results can be seen once all who have begun are done."))
        self._show()

    def _ask_for_results(self, _checked: bool = False) -> None:
        if not dependencies.ensure(_("CCELLA")):
            return
        try:
            folder = self._folder()
        except SourceError as error:
            self._say(str(error))
            return
        try:
            self._logic.readStudy(folder.absolute(), onResult=self._show_results, onError=self._fail)
        except ClientError as error:
            self._fail(error)

    def _show_results(self, value: dict[str, Any]) -> None:
        if not self._closed:
            self._ui.resultsText.plainText = value["text"]
            self._say(_("Synthetic volumes are named SYNTHETIC on the page: {page}").format(page=value["page"]))
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(value["page"]))

    def _fail(self, error: ClientError) -> None:
        if not self._closed:
            self._say(str(error))

    @property
    def _reader(self) -> str:
        return self._ui.readerEdit.text.strip()

    def _folder(self) -> Path:
        text = self._ui.studyFolderEdit.text.strip()
        if not text:
            raise SourceError(_("Choose the study's folder first."))
        return Path(text)

    def _say(self, sentence: str) -> None:
        set_text(self._ui.studyHint, sentence)

    def _show(self, _index: int = 0) -> None:
        """What can be pressed; while a case is read nothing else can, and the study's name and reader stay."""
        ui, active = self._ui, self.active
        for widget in (ui.makeSection, ui.studyFolderEdit, ui.studyFolderButton, ui.readerEdit, ui.resultsButton):
            widget.enabled = not active
        busy = _("A case is being read.") if active else ""
        enable_or_explain(ui.readButton, busy, _("Begins, or goes on where this reader left off."))
        from_folders = ui.sourceBox.currentIndex == FROM_FOLDERS
        for widget in (ui.syntheticFolderEdit, ui.syntheticFolderButton, ui.realFolderEdit, ui.realFolderButton):
            widget.enabled = from_folders
        ui.answerSection.enabled = active
        said = all(box.currentIndex != NOT_SAID for box in (ui.answerBox, ui.confidenceBox, ui.qualityBox))
        missing = "" if said else _("Say what it is, how sure you are, and how good the images are.")
        enable_or_explain(ui.nextButton, missing, _("Saves the answer; it cannot be changed afterwards."))
        text = ""
        if self._case is not None and self._study is not None:
            number, cases = self._study.order(self._reader).index(self._case) + 1, len(self._study.cases)
            text = _("{name} ({number} of {cases})").format(name=self._case.name, number=number, cases=cases)
        set_text(ui.caseLabel, text)
