"""Draws the pictures of the Slicer module: the unmodified module on the Slicer bench, with the real worker.

``python docs/tools/picture_slicer.py [--real FOLDER] [--out FOLDER]``

``--real`` is a folder of DICOM files of one T2-weighted series; without it a digital prostate is the real scan.
``--out`` takes all pictures; by default they replace those of the README and the documentation.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "Resources" / "Screenshots"
PICTURES = ROOT / "docs" / "pictures"
REPORT = ROOT / "Resources" / "Examples" / "report_positive.txt"
SEED = 7
PHANTOM_SEED, SYNTHETIC_SEED = 11, 3
EDIT_REPORT = (
    "Left peripheral zone at mid-gland: focal lesion, 18 mm, markedly hypointense on T2. No other suspicious lesion. "
    "PI-RADS 5."
)
EDIT_SIZE_MM, EDIT_PLACE = 18, (-17.0, -12.0, 0.0)  # in RAS mm
PANEL_WIDTH = 460  # pixels; as wide as Slicer's module panel usually is
VIEWS = (1050, 675)
PATIENCE = 300.0  # seconds for a run of the worker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, help="DICOM folder of a T2-weighted series")
    parser.add_argument("--out", type=Path, help="folder for the pictures, by default where the documentation has them")
    options = parser.parse_args()
    screenshots, pictures = (options.out, options.out) if options.out else (SCREENSHOTS, PICTURES)
    for folder in (screenshots, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        bench = new_bench(Path(folder), patch)
        draw(bench, options.real, screenshots, pictures)
        bench.close()


def new_bench(folder: Path, patch: pytest.MonkeyPatch) -> Any:
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    sys.path.append(str(ROOT / "Testing"))
    from slicer_bench.bench import Bench

    return Bench(folder, patch)


def draw(bench: Any, real_folder: Path | None, screenshots: Path, pictures: Path) -> None:
    bench.load_module()
    bench.app.startupCompleted.emit()
    widget = bench.open_module()
    ui = widget.ui
    real = real_scan(real_folder)
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

    ui.compareButton.click()
    bench.process_events(1)
    bench.render_layout(screenshots / "comparison.png", *VIEWS)
    bench.grab(widget.parent, screenshots / "panel.png", PANEL_WIDTH)
    ui.compareButton.click()
    draw_edit(bench, ui, pictures)
    draw_study(bench, widget, pictures)  # before there are other sequences in the scene
    draw_hanging(bench, widget, pictures)


def draw_hanging(bench: Any, widget: Any, pictures: Path) -> None:
    """T2, ADC and high b in one row: two digital prostates, of which one counts as synthetic."""
    import slicer

    from ccella_core.phantom.patient import draw_patient
    from ccella_core.phantom.render import render

    nodes = {}
    for seed, kind in ((SYNTHETIC_SEED, "SYNTHETIC"), (PHANTOM_SEED, "prostate")):
        for sequence in ("t2w", "adc", "hbv"):
            drawn = render(draw_patient(seed), sequence)
            voxels = np.ascontiguousarray(drawn.voxels.T)
            nodes[kind, sequence] = slicer.util.addVolumeFromArray(voxels, drawn.affine, f"{kind} {sequence}")
            for name, value in {"Sequence": sequence, "Created": kind, "Synthetic": "1"}.items():
                if kind == "SYNTHETIC":
                    nodes[kind, sequence].SetAttribute(f"CCELLA.{name}", value)
    parameters = widget.logic.getParameterNode()
    parameters.result, parameters.realScan = nodes["SYNTHETIC", "t2w"], nodes["prostate", "t2w"]
    widget.panel.refresh()
    widget.ui.bpmriButton.click()
    bench.process_events(1)
    bench.render_layout(pictures / "slicer_bpmri.png", *VIEWS)
    widget.ui.bpmriButton.click()


def draw_study(bench: Any, widget: Any, pictures: Path) -> None:
    """A case of a reader study, of the volumes that are in the scene."""
    import slicer

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


def draw_edit(bench: Any, ui: Any, pictures: Path) -> None:
    """A lesion put into a digital prostate that has none."""
    import slicer

    scan = digital_prostate(pathology="negative")
    point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Lesion")
    point.CreateDefaultDisplayNodes()
    point.AddControlPointWorld(*EDIT_PLACE)
    ui.reportEdit.plainText = EDIT_REPORT
    ui.editSection.collapsed = False
    ui.editScanBox.setCurrentNode(scan)
    ui.editPointBox.setCurrentNode(point)
    ui.lesion1Size.value = EDIT_SIZE_MM
    ui.differenceCheck.checked = True
    ui.editButton.click()
    bench.wait_until(lambda: ui.generateButton.text == "Generate", PATIENCE)
    bench.process_events(1)
    point.SetDisplayVisibility(False)
    bench.render_layout(pictures / "slicer_edit.png", *VIEWS)
    bench.grab(ui.editSection, pictures / "slicer_edit_section.png", PANEL_WIDTH)
    ui.compareButton.click()


def real_scan(folder: Path | None) -> Any:
    """A node with the real scan, or with a digital prostate that stands in for one."""
    import slicer

    if folder is None:
        return digital_prostate()
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    ras_from_lps = np.diag([-1.0, -1.0, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = ras_from_lps @ np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = ras_from_lps @ image.GetOrigin()
    return slicer.util.addVolumeFromArray(sitk.GetArrayFromImage(image), affine, "T2 axial")


def digital_prostate(pathology: str | None = None) -> Any:
    """A node with one; ``pathology``: with a lesion or without, by default as its seed has it."""
    import slicer

    from ccella_core.phantom.patient import draw_patient
    from ccella_core.phantom.render import render

    rendering = render(draw_patient(PHANTOM_SEED, pathology=pathology), "t2w")
    return slicer.util.addVolumeFromArray(
        np.ascontiguousarray(rendering.voxels.T), rendering.affine, "Digital prostate"
    )


if __name__ == "__main__":
    main()
