"""Findings that are picked instead of typed, and the report that the library writes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from ..client.command import ensure_core_on_path
from .widgets import enable_or_explain, set_text

if TYPE_CHECKING:
    from ccella_core.phantom.findings import Findings, Lesion

LESION_WIDGETS = ("lesion1", "lesion2")
"""What the names of the lesions' widgets begin with."""


def _choices() -> dict[str, list[tuple[str, Any]]]:
    """Texts and data of every combo box, by the name of its widget; lesions have those of "lesion"."""
    return {
        "overallPiradsBox": [(str(score), score) for score in (1, 2, 3, 4, 5)],
        "hyperplasiaBox": [
            (_("none"), "none"), (_("mild"), "mild"), (_("moderate"), "moderate"), (_("marked"), "marked"),
        ],
        "peripheralChangeBox": [
            (_("none"), "none"), (_("left"), "left"), (_("right"), "right"), (_("both sides"), "both"),
        ],
        "bladderBox": [(_("poorly filled"), "low"), (_("half full"), "moderate"), (_("full"), "full")],
        "rectumBox": [(_("empty"), "empty"), (_("gas"), "gas"), (_("stool"), "stool")],
        "lesionSide": [(_("left"), "left"), (_("right"), "right")],
        "lesionZone": [(_("peripheral"), "peripheral"), (_("transition"), "transition")],
        "lesionLevel": [(_("base"), "base"), (_("mid-gland"), "mid"), (_("apex"), "apex")],
        "lesionPirads": [(str(score), score) for score in (3, 4, 5)],
    }  # fmt: skip


class Composer:
    """Shows findings in the widgets, reads them back, and writes their report.

    Args:
        ui: the panel's widgets.
        on_report: takes the text when the user asks for it.
    """

    def __init__(self, ui: Any, on_report: Callable[[str], None]) -> None:
        ensure_core_on_path()
        from ccella_core.phantom import findings, report

        self._library = findings
        self._write_report = report.write_report
        self._ui = ui
        self._on_report = on_report
        self._reports_written = 0
        for name, items in _choices().items():
            for box in self._boxes(name):
                for text, data in items:
                    box.addItem(text, data)
        self.show(self._first_findings())
        for box in self._all_boxes():
            box.connect("currentIndexChanged(int)", self._check)
        for prefix in LESION_WIDGETS:
            self._of(prefix, "Group").connect("toggled(bool)", self._check)
            self._of(prefix, "Size").connect("valueChanged(int)", self._check)
            self._of(prefix, "Extraprostatic").connect("toggled(bool)", self._check)
        ui.writeReportButton.connect("clicked(bool)", self._write)
        self._check()

    def show(self, findings: Findings) -> None:
        """Set the widgets. They have room for as many lesions as LESION_WIDGETS; any more are left out."""
        ui = self._ui
        _choose(ui.overallPiradsBox, findings.pirads)
        ui.glandVolumeSpin.value = round(findings.gland_volume_ml)
        ui.psaSpin.value = findings.psa_ng_ml
        ui.ageSpin.value = findings.age_years
        _choose(ui.hyperplasiaBox, findings.hyperplasia)
        _choose(ui.peripheralChangeBox, findings.peripheral_change)
        _choose(ui.bladderBox, findings.bladder)
        _choose(ui.rectumBox, findings.rectum)
        for index, prefix in enumerate(LESION_WIDGETS):
            is_there = index < len(findings.lesions)
            self._of(prefix, "Group").checked = is_there
            if is_there:
                self._show_lesion(prefix, findings.lesions[index])

    def findings(self) -> Findings:
        """What the widgets say. Raises ValueError, with the reason, where that cannot be."""
        ui = self._ui
        lesions = [self._lesion(prefix) for prefix in LESION_WIDGETS if self._of(prefix, "Group").checked]
        return self._library.Findings(
            gland_volume_ml=ui.glandVolumeSpin.value,
            psa_ng_ml=ui.psaSpin.value,
            age_years=ui.ageSpin.value,
            pirads=_chosen(ui.overallPiradsBox),
            lesions=tuple(lesions),
            hyperplasia=_chosen(ui.hyperplasiaBox),
            peripheral_change=_chosen(ui.peripheralChangeBox),
            bladder=_chosen(ui.bladderBox),
            rectum=_chosen(ui.rectumBox),
        )

    @property
    def lesion_mm(self) -> float | None:
        """The size of the first lesion; ``None`` where there is none."""
        sizes = [self._of(prefix, "Size").value for prefix in LESION_WIDGETS if self._of(prefix, "Group").checked]
        return float(sizes[0]) if sizes else None

    def _first_findings(self) -> Findings:
        lesion = self._library.Lesion("left", "peripheral", "mid", size_mm=12, pirads=4)
        return self._library.Findings(gland_volume_ml=45, psa_ng_ml=6.5, age_years=65, pirads=4, lesions=(lesion,))

    def _show_lesion(self, prefix: str, lesion: Lesion) -> None:
        _choose(self._of(prefix, "Side"), lesion.side)
        _choose(self._of(prefix, "Zone"), lesion.zone)
        _choose(self._of(prefix, "Level"), lesion.level)
        _choose(self._of(prefix, "Pirads"), lesion.pirads)
        self._of(prefix, "Size").value = round(lesion.size_mm)
        self._of(prefix, "Extraprostatic").checked = lesion.extraprostatic

    def _lesion(self, prefix: str) -> Lesion:
        return self._library.Lesion(
            side=_chosen(self._of(prefix, "Side")),
            zone=_chosen(self._of(prefix, "Zone")),
            level=_chosen(self._of(prefix, "Level")),
            size_mm=self._of(prefix, "Size").value,
            pirads=_chosen(self._of(prefix, "Pirads")),
            extraprostatic=self._of(prefix, "Extraprostatic").checked,
        )

    def _check(self, _changed: object = None) -> None:
        """Say beside the widgets why their findings cannot be, and switch the button off."""
        try:
            self.findings()
        except ValueError as error:
            reason = str(error)
            sentence = _("Not possible: {reason}.").format(reason=reason)
        else:
            sentence = ""
        set_text(self._ui.composerHint, sentence)
        tool_tip = _(
            "Writes these findings into the box above; press again for other words. "
            "Undo there brings the old text back."
        )
        enable_or_explain(self._ui.writeReportButton, sentence, tool_tip)

    def _write(self, _checked: bool = False) -> None:
        self._on_report(self._write_report(self.findings(), seed=self._reports_written))
        self._reports_written += 1

    def _of(self, prefix: str, name: str) -> qt.QWidget:
        return getattr(self._ui, prefix + name)

    def _boxes(self, name: str) -> list[qt.QComboBox]:
        if name.startswith("lesion"):
            return [self._of(prefix, name.removeprefix("lesion")) for prefix in LESION_WIDGETS]
        return [getattr(self._ui, name)]

    def _all_boxes(self) -> list[qt.QComboBox]:
        return [box for name in _choices() for box in self._boxes(name)]


def _choose(box: qt.QComboBox, value: object) -> None:
    box.currentIndex = box.findData(value)


def _chosen(box: qt.QComboBox) -> Any:
    return box.itemData(box.currentIndex)
