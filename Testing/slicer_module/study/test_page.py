"""The reader study's page on the bench: made, read, interrupted and resumed, and unblinded at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import slicer

from ccella_core.evaluation.readers.sheets import ReaderStudy


class Logic:
    """Keeps what was asked of the worker."""

    def __init__(self) -> None:
        self.asked: list[Path] = []
        self.answer: Callable[[], tuple[str, Any]] = lambda: (
            "onResult",
            {"page": "/study/readers.html", "text": "| A |"},
        )

    def readStudy(self, folder: Path, **callbacks: Any) -> int:  # noqa: N802 - as the module's logic has it
        self.asked.append(folder)
        which, value = self.answer()
        callbacks[which](value)
        return 1


class Case:
    """The page, with a clock that a test moves."""

    def __init__(self, bench: Any, folder: Path) -> None:
        bench.load_module()
        from CCELLAGeneratorLib.study.page import StudyPage

        file = Path(__file__).parents[3] / "CCELLAGenerator" / "Resources" / "UI" / "ReaderStudy.ui"
        self.widget = slicer.util.loadUI(str(file))
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.logic, self.folder, self.now, self.begun = Logic(), folder, 0.0, 0
        self.page = StudyPage(self.ui, self.logic, self._begin, clock=lambda: self.now)

    def _begin(self) -> None:
        self.begun += 1

    @property
    def said(self) -> str:
        return self.ui.studyHint.text

    def make(self, *, pairs: bool = False) -> ReaderStudy:
        """A study of two synthetic and two real images in folders."""
        for kind, name in (("synthetic", "SYNTHETIC_{}"), ("real", "{}")):
            (self.folder / kind).mkdir(exist_ok=True)
            for number in range(2):
                voxels = np.random.default_rng(number).random((12, 10, 6)).astype(np.float32)
                nib.Nifti1Image(voxels, np.diag([1, 1, 3, 1])).to_filename(
                    self.folder / kind / f"{name.format(number)}.nii"
                )
        self.ui.syntheticFolderEdit.text = str(self.folder / "synthetic")
        self.ui.realFolderEdit.text = str(self.folder / "real")
        self.ui.studyFolderEdit.text = str(self.folder / "study")
        self.ui.designBox.currentIndex = int(pairs)
        self.ui.makeButton.click()
        return ReaderStudy.open(self.folder / "study")

    def read(self, reader: str = "Anna") -> None:
        self.ui.readerEdit.text = reader
        self.ui.readButton.click()

    def answer(self, says: int = 1, seconds: float = 5.0) -> None:
        self.now += seconds
        for box, index in ((self.ui.answerBox, says), (self.ui.confidenceBox, 4), (self.ui.qualityBox, 3)):
            box.currentIndex = index
        self.ui.nextButton.click()


@pytest.fixture
def case(slicer_bench: Any, tmp_path: Path) -> Any:
    made = Case(slicer_bench, tmp_path)
    yield made
    made.page.close()


def shown() -> list[str]:
    """Names of the volumes in the study's views."""
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    names = set()
    for node in composites:
        if node.GetLayoutName().startswith("CCELLA_Study") and node.GetBackgroundVolumeID():
            names.add(slicer.mrmlScene.GetNodeByID(node.GetBackgroundVolumeID()).GetName())
    return sorted(names)


def volumes() -> list[Any]:
    return slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")


@pytest.mark.medium
def test_a_case_is_shown_under_a_name_that_says_nothing(case: Case) -> None:
    from CCELLAGeneratorLib.scene.volumes import is_synthetic

    made = case.make()
    assert case.said.startswith("The study has 4 cases")
    before = slicer.app.layoutManager().layoutLogic().GetLayoutNode().GetViewArrangement()
    case.read()
    assert case.begun == 1 and shown() == [made.order("Anna")[0].name]
    (volume,) = volumes()
    assert not is_synthetic(volume) and volume.GetStorageNode() is None and not volume.GetSaveWithScene()
    assert case.ui.caseLabel.text == f"{made.order('Anna')[0].name} (1 of 4)"
    assert not case.ui.makeButton.enabled and not case.ui.nextButton.enabled
    case.ui.stopButton.click()
    assert volumes() == [] and case.said.startswith("Interrupted")
    assert slicer.app.layoutManager().layoutLogic().GetLayoutNode().GetViewArrangement() == before


@pytest.mark.medium
def test_answers_are_saved_one_by_one_and_a_reader_goes_on(case: Case) -> None:
    made = case.make()
    case.read()
    case.ui.lesionButton.click()
    point = slicer.util.getNode("lesion")
    point.AddControlPoint([3.0, -2.0, 6.0])
    case.ui.piradsBox.currentIndex = 5
    case.answer(says=1, seconds=12)
    (first,) = made.answers("Anna")
    assert (first.case, first.says_synthetic, first.confidence, first.quality) == (
        made.order("Anna")[0].name,
        True,
        4,
        3,
    )
    assert (first.pirads, first.seconds, first.location) == (5, 12, (3.0, -2.0, 6.0))
    assert shown() == [made.order("Anna")[1].name] and case.ui.answerBox.currentIndex == 0
    case.answer(says=2)
    case.ui.stopButton.click()
    case.read()
    assert shown() == [made.order("Anna")[2].name] and len(made.answers("Anna")) == 2
    assert made.answers("Anna")[1].location is None and not made.answers("Anna")[1].says_synthetic
    case.answer()
    case.answer()
    assert case.said.startswith("That was the last case") and not case.page.active and volumes() == []
    case.read()
    assert case.said == "Anna has answered all cases of this study."


@pytest.mark.medium
def test_pairs_lie_side_by_side(case: Case) -> None:
    made = case.make(pairs=True)
    case.read("Ben")
    first = made.order("Ben")[0]
    assert shown() == [f"{first.name} left", f"{first.name} right"]
    assert [case.ui.answerBox.itemText(place) for place in (1, 2)] == ["The left one", "The right one"]
    left = slicer.mrmlScene.GetSingletonNode("CCELLA_StudyLeft", "vtkMRMLSliceCompositeNode").GetBackgroundVolumeID()
    drawn = slicer.util.arrayFromVolume(slicer.mrmlScene.GetNodeByID(left))
    expected = np.asarray(nib.Nifti1Image.from_filename(first.volumes[0]).dataobj)
    np.testing.assert_array_equal(drawn, expected.T)


@pytest.mark.medium
def test_volumes_of_the_scene_are_shown_as_others(case: Case) -> None:
    matrix = np.diag([1.0, 1.0, 3.0, 1.0])
    for name in ("SYNTHETIC t2w seed 7", "T2 of a patient"):
        slicer.util.addVolumeFromArray(np.random.default_rng(0).random((6, 10, 12)), matrix, name)
    case.ui.sourceBox.currentIndex = 1
    case.ui.studyFolderEdit.text = str(case.folder / "study")
    case.ui.makeButton.click()
    assert not case.ui.syntheticFolderEdit.enabled and case.said.startswith("The study has 2 cases")
    case.read()
    (name,) = shown()
    assert name.startswith("case ") and len(volumes()) == 3
    case.ui.stopButton.click()
    assert len(volumes()) == 2
    slicer.mrmlScene.Clear()
    case.read()
    assert "is not in the scene: load the scene that the study was made in" in case.said and not case.page.active


@pytest.mark.medium
def test_what_cannot_be_studied_is_said(case: Case) -> None:
    case.ui.readButton.click()
    assert case.said == "Choose the study's folder first."
    case.ui.studyFolderEdit.text = str(case.folder / "study")
    case.read()
    assert "is not the folder of a reader study" in case.said
    case.ui.syntheticFolderEdit.text = str(case.folder / "nowhere")
    case.ui.makeButton.click()
    assert case.said.startswith("There is no folder")
    case.ui.sourceBox.currentIndex = 1
    case.ui.makeButton.click()
    assert "no synthetic case" in case.said
    case.ui.sourceBox.currentIndex = 0
    made = case.make()
    case.ui.makeButton.click()
    assert "holds a study already" in case.said
    case.read("../Anna")
    assert case.said.startswith("A reader's name") and not case.page.active
    case.ui.realFolderEdit.text = case.ui.syntheticFolderEdit.text
    case.ui.studyFolderEdit.text = str(case.folder / "other")
    case.ui.makeButton.click()
    assert "is synthetic, and lies in the folder of real scans" in case.said
    assert not (case.folder / "other").exists()
    case.ui.studyFolderEdit.text = str(made.folder)
    Path(made.order("Anna")[0].volumes[0]).unlink()
    case.read()
    assert case.said == f"The file of {made.order('Anna')[0].name} is missing or cannot be read." and volumes() == []


@pytest.mark.medium
def test_an_answer_that_cannot_be_saved_stays(case: Case) -> None:
    made = case.make()
    case.read()
    sheet = made.folder / "answers" / "Anna.json"
    sheet.parent.mkdir()
    sheet.write_text(json.dumps({"study": "another", "answers": []}), encoding="utf-8")
    case.answer()
    assert "holds answers of another study" in case.said and case.page.active
    sheet.unlink()
    case.ui.nextButton.click()
    assert len(made.answers("Anna")) == 1


@pytest.mark.medium
def test_results_come_from_the_worker(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    from CCELLAGeneratorLib import dependencies
    from CCELLAGeneratorLib.client.errors import ClientError

    monkeypatch.setattr(dependencies, "ensure", lambda *_: True)
    made = case.make()
    case.ui.resultsButton.click()
    assert case.logic.asked == [made.folder] and case.ui.resultsText.plainText == "| A |"
    assert "SYNTHETIC on the page: /study/readers.html" in case.said
    case.logic.answer = lambda: ("onError", ClientError("input", "Ben has answered 1 of 4 cases.", ""))
    case.ui.resultsButton.click()
    assert case.said == "Ben has answered 1 of 4 cases."


@pytest.mark.medium
def test_results_are_not_asked_of_another_computer(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not see the study's folder, whose name is nobody's business there."""
    from CCELLAGeneratorLib import dependencies
    from fake_client import FakeClient

    from CCELLAGenerator import CCELLAGeneratorLogic

    monkeypatch.setattr(dependencies, "ensure", lambda *_: True)
    client = FakeClient()
    client.host = "me@workstation"
    case.page._logic = CCELLAGeneratorLogic(client=client)
    case.make()
    case.ui.resultsButton.click()
    assert case.said == (
        "The study lies on this computer, and me@workstation generates. Press Back to this computer, and ask again."
    )
    assert client.requests == {} and case.ui.resultsText.plainText == ""
