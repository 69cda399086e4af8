"""Draws the pictures of the Slicer module: the unmodified module on the Slicer bench, with the real worker.

``python docs/tools/picture_slicer.py [--real FOLDER [--lesion X Y Z]] [--out FOLDER]``

``--real`` is a folder of an examination: folders of DICOM files whose names begin with t2w, adc and hbv; without it
digital prostates stand in for the real scans.
``--out`` takes all pictures; by default they replace those of the README and the documentation.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

from ccella_core.provenance import SequenceName

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "Resources" / "Screenshots"
PICTURES = ROOT / "docs" / "pictures"
REPORT = ROOT / "Resources" / "Examples" / "report_positive.txt"
SEED = 7
PHANTOM_SEED = 11
REAL_NAMES = {"t2w": "T2 axial", "adc": "ADC", "hbv": "High b"}
EDIT_REPORT = (
    "Left peripheral zone at mid-gland: focal lesion, 18 mm, markedly hypointense on T2. No other suspicious lesion. "
    "PI-RADS 5."
)
REAL_TECHNIQUE = "Technique: 3 T, no endorectal coil. Findings: "
EDIT_ZOOM = 0.45
EDIT_SIZE_MM, EDIT_PLACE = 18, (-17.0, -12.0, 0.0)  # in RAS mm
PANEL_WIDTH = 460  # pixels; as wide as Slicer's module panel usually is
VIEWS = (1050, 675)
PATIENCE = 300.0  # seconds for a run of the worker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, help="folder of an examination in DICOM")
    parser.add_argument(
        "--lesion", type=float, nargs=3, metavar=("X", "Y", "Z"),
        help="where in it a lesion is drawn, in RAS mm; by default a digital prostate is edited",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="folder for the pictures, by default where the documentation has them")
    options = parser.parse_args()
    screenshots, pictures = (options.out, options.out) if options.out else (SCREENSHOTS, PICTURES)
    for folder in (screenshots, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        bench = new_bench(Path(folder), patch)
        draw(bench, options.real, options.lesion, screenshots, pictures)
        bench.close()


def new_bench(folder: Path, patch: pytest.MonkeyPatch) -> Any:
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    sys.path.append(str(ROOT / "Testing"))
    from slicer_bench.bench import Bench

    return Bench(folder, patch)


def draw(
    bench: Any, real_folder: Path | None, lesion: Sequence[float] | None, screenshots: Path, pictures: Path
) -> None:
    bench.load_module()
    bench.app.startupCompleted.emit()
    widget = bench.open_module()
    ui = widget.ui
    real = real_scan(real_folder, "t2w")
    bench.wait_until(lambda: "phantoms" in ui.modelDetails.text, PATIENCE)

    ui.composerSection.collapsed = False
    ui.writeReportButton.click()
    bench.wait_until(lambda: "tokens" in ui.tokensLabel.text, PATIENCE)
    bench.grab(ui.reportSection, pictures / "slicer_report.png", PANEL_WIDTH)

    ui.reportEdit.plainText = REPORT.read_text(encoding="utf-8")
    ui.composerSection.collapsed = ui.logSection.collapsed = True
    for section in (ui.modelSection, ui.scanSection, ui.settingsSection, ui.compareSection):
        section.collapsed = False
    ui.realScanBox.setCurrentNode(real)
    ui.newSeedCheck.checked = False
    ui.seedSpin.value = SEED
    bench.wait_until(lambda: ui.estimateLabel.text, PATIENCE)
    ui.generateButton.click()
    bench.wait_until(lambda: ui.generateButton.text == "Generate", PATIENCE)
    bench.render_layout(pictures / "slicer_result.png", *VIEWS)
    result = widget.logic.getParameterNode().result

    ui.compareButton.click()
    bench.process_events(1)
    bench.render_layout(screenshots / "comparison.png", *VIEWS)
    bench.grab(widget.parent, screenshots / "panel.png", PANEL_WIDTH)
    ui.compareButton.click()
    draw_edit(bench, ui, real, lesion, pictures)
    draw_hanging(bench, widget, result, real, real_folder, pictures)
    draw_study(bench, widget, pictures)


def draw_hanging(bench: Any, widget: Any, result: Any, real: Any, real_folder: Path | None, pictures: Path) -> None:
    """T2, ADC and high b in one row: the synthetic examination above the real one."""
    parameters = widget.logic.getParameterNode()
    parameters.result, parameters.realScan = result, real
    parameters.realAdc, parameters.realHighB = (real_scan(real_folder, sequence) for sequence in ("adc", "hbv"))
    widget.panel.refresh()
    widget.ui.bpmriButton.click()
    bench.process_events(1)
    bench.render_layout(pictures / "slicer_bpmri.png", *VIEWS)
    widget.ui.bpmriButton.click()


def draw_study(bench: Any, widget: Any, pictures: Path) -> None:
    """A case of a reader study, of the T2 volumes that are in the scene."""
    import slicer

    for name in ("adc", "hbv"):
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            if node.GetAttribute("CCELLA.Sequence") == name or node.GetName().endswith(REAL_NAMES[name]):
                slicer.mrmlScene.RemoveNode(node)
    page = slicer.util.childWidgetVariables(widget.pages.widget(1))
    widget.pages.currentIndex = 1
    with tempfile.TemporaryDirectory() as folder:
        page.studyFolderEdit.text = folder
        page.sourceBox.currentIndex = 1
        page.makeButton.click()
        page.readerEdit.text = "Reader A"
        page.readButton.click()
        bench.process_events(1)
        bench.render_layout(pictures / "slicer_study_case.png", *VIEWS)
        page.studyFolderEdit.text = "reader-study"  # whatever folder it is on this computer
        bench.grab(widget.pages.widget(1), pictures / "slicer_study.png", PANEL_WIDTH)
        page.stopButton.click()
    widget.pages.currentIndex = 0


def draw_edit(bench: Any, ui: Any, real: Any, place: Sequence[float] | None, pictures: Path) -> None:
    """A lesion put into the real scan, or into a digital prostate that has none where no place is given."""
    import slicer

    scan = real if place else digital_prostate(pathology="negative")
    point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Lesion")
    point.CreateDefaultDisplayNodes()
    point.AddControlPointWorld(*(place or EDIT_PLACE))
    ui.reportEdit.plainText = (REAL_TECHNIQUE if place else "") + EDIT_REPORT
    ui.editSection.collapsed = False
    ui.editScanBox.setCurrentNode(scan)
    ui.editPointBox.setCurrentNode(point)
    ui.lesion1Size.value = EDIT_SIZE_MM
    ui.differenceCheck.checked = True
    ui.editButton.click()
    bench.wait_until(lambda: ui.generateButton.text == "Generate", PATIENCE)
    bench.process_events(1)
    point.SetDisplayVisibility(False)
    if place:  # a whole pelvis would leave little of the gland
        for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            width, height, depth = view.GetFieldOfView()
            view.SetFieldOfView(width * EDIT_ZOOM, height * EDIT_ZOOM, depth)
    bench.render_layout(pictures / "slicer_edit.png", *VIEWS)
    bench.grab(ui.editSection, pictures / "slicer_edit_section.png", PANEL_WIDTH)
    ui.compareButton.click()


def real_scan(folder: Path | None, sequence: SequenceName) -> Any:
    """A node with a series of the real examination, or with a digital prostate that stands in for it."""
    import slicer

    if folder is None:
        return digital_prostate(sequence)
    (series,) = folder.glob(f"{sequence}*")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(series)))
    image = reader.Execute()
    ras_from_lps = np.diag([-1.0, -1.0, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = ras_from_lps @ np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = ras_from_lps @ image.GetOrigin()
    return slicer.util.addVolumeFromArray(sitk.GetArrayFromImage(image), affine, REAL_NAMES[sequence])


def digital_prostate(sequence: SequenceName = "t2w", pathology: str | None = None) -> Any:
    """A node with one; ``pathology``: with a lesion or without, by default as its seed has it."""
    import slicer

    from ccella_core.phantom.patient import draw_patient
    from ccella_core.phantom.render import render

    rendering = render(draw_patient(PHANTOM_SEED, pathology=pathology), sequence)
    name = "Digital prostate" if sequence == "t2w" else f"Digital prostate {REAL_NAMES[sequence]}"
    return slicer.util.addVolumeFromArray(np.ascontiguousarray(rendering.voxels.T), rendering.affine, name)


if __name__ == "__main__":
    main()
