"""What the whole stories share: the user at the panel, a real scan, and what is seen of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from compare_room import add_real, ijk_to_ras

REAL_SCAN = Path(__file__).parents[3] / "shared" / "data" / "prostatex-0000" / "t2w_dicom"
REPORT = "PI-RADS 5 lesion in the left peripheral zone at mid-gland, 20 mm. The prostate volume is 45 ml."
LABEL = "SYNTHETIC – not for diagnosis"


class Story:
    """The user at the panel."""

    def __init__(self, bench: Any) -> None:
        bench.load_module()
        bench.app.startupCompleted.emit()
        self.bench = bench
        self.widget = bench.open_module()
        self.ui = self.widget.ui
        bench.wait_until(lambda: "MB on disk" in self.ui.modelDetails.text)

    @property
    def parameters(self) -> Any:
        return self.widget.logic.getParameterNode()

    def generate(self, steps: int = 2) -> Any:
        """Press Generate, wait, and return the new volume."""
        self.ui.reportEdit.plainText = REPORT
        self.ui.stepsSpin.value = steps
        self.ui.generateButton.click()
        self.bench.wait_until(lambda: self.ui.generateButton.text == "Generate")
        assert self.ui.statusLabel.text.startswith("Done: SYNTHETIC t2w seed"), self.ui.statusLabel.text
        return self.parameters.result

    def start_a_long_run(self) -> None:
        self.ui.stepsSpin.value = 1000
        self.ui.generateButton.click()
        self.bench.wait_until(lambda: "Drawing" in self.ui.progressLabel.text)

    def use_model(self, folder: Path) -> None:
        """Add the folder that holds a model, and choose it."""
        self.bench.answer_file(folder)
        self.ui.addFolderButton.click()
        box = self.ui.modelBox
        self.bench.wait_until(lambda: box.findData(str(folder)) >= 0 or box.findData(folder.name) >= 0)
        box.currentIndex = max(box.findData(str(folder)), box.findData(folder.name))

    def press(self, button: Any) -> None:
        """Press Generate or Edit with a report, and wait for the end."""
        self.ui.reportEdit.plainText = REPORT
        self.ui.stepsSpin.value = 2
        self.bench.wait_until(lambda: button.enabled)
        button.click()
        self.bench.wait_until(lambda: self.ui.generateButton.text == "Generate")

    def read_a_study(self, folder: Path, cases: int) -> None:
        """All volumes of the scene, read by one who takes each for synthetic and leaves off once."""
        import slicer

        page = slicer.util.childWidgetVariables(self.widget.pages.widget(1))
        page.sourceBox.currentIndex = 1
        page.studyFolderEdit.text = str(folder)
        page.makeButton.click()
        assert page.studyHint.text.startswith(f"The study has {cases} cases"), page.studyHint.text
        page.readerEdit.text = "Anna"
        page.readButton.click()
        for number in range(cases):
            assert page.caseLabel.text.endswith(f"({number + 1} of {cases})") and self.labelled_views() == set()
            if number == 1:
                page.stopButton.click()
                page.readButton.click()
            for box in (page.answerBox, page.confidenceBox, page.qualityBox):
                box.currentIndex = 1
            page.nextButton.click()
        assert page.studyHint.text.startswith("That was the last case")
        page.resultsButton.click()
        self.bench.wait_until(lambda: page.resultsText.plainText or not page.studyHint.text.startswith("That was"))
        assert "Anna" in page.resultsText.plainText, page.studyHint.text
        (address,) = self.bench.opened_urls
        assert (folder / Path(address).name).is_file()

    def labelled_views(self) -> set[str]:
        return {name for name in self.bench.app.layoutManager().sliceViewNames() if is_labelled(self.bench, name)}


@pytest.fixture
def story(slicer_bench: Any) -> Story:
    return Story(slicer_bench)


def is_labelled(bench: Any, view: str) -> bool:
    window = bench.app.layoutManager().sliceWidget(view).sliceView().renderWindow()
    window.Render()
    props = [renderer.GetViewProps() for renderer in window.GetRenderers()]
    actors = [each.GetItemAsObject(number) for each in props for number in range(each.GetNumberOfItems())]
    return any(each.IsA("vtkTextActor") and each.GetInput() == LABEL and each.GetVisibility() for each in actors)


def add_scan() -> Any:
    """The real scan, where it is at hand; else noise of the same kind, oblique as well."""
    import slicer

    if not REAL_SCAN.is_dir():
        return add_real()
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(REAL_SCAN)))
    ras_from_lps = np.diag([-1.0, -1.0, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = ras_from_lps @ np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = ras_from_lps @ image.GetOrigin()
    return slicer.util.addVolumeFromArray(sitk.GetArrayFromImage(image), affine, "T2 axial")


def assert_labelled_and_nobody(series: Path) -> None:
    for path in series.iterdir():
        header = pydicom.dcmread(path)
        assert header[0x0008001C].value == "YES" and list(header.ImageType)[:2] == ["DERIVED", "SECONDARY"]
        assert header.ImageComments.startswith("SYNTHETIC (EDITED FROM ")
        assert str(header.PatientName).startswith("SYNTHETIC^") and header.PatientID.startswith("SYNTHETIC-")
        assert b"ProstateX" not in path.read_bytes()


def centre_and_axes(volume: Any) -> tuple[np.ndarray, np.ndarray]:
    matrix = ijk_to_ras(volume)
    middle = (np.array(volume.GetImageData().GetDimensions()) - 1) / 2
    return (matrix @ [*middle, 1])[:3], matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
