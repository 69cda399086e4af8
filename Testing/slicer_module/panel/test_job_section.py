"""Generate and Cancel: what is asked of the worker, what is shown meanwhile, every way it ends."""

import base64

import numpy as np
import pytest
import vtk

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def test_the_button_says_why_it_is_off(panel):
    button = panel.ui.generateButton
    assert (button.text, button.enabled, button.toolTip) == ("Generate", False, "Write a report first.")
    panel.ui.reportEdit.plainText = "PI-RADS 4."
    assert button.enabled
    assert button.toolTip == "Draws a synthetic scan from the report."


BUTTONS = ["addFolder", "removeFolder", "openFolder", "deleteModel", "download", "generate", "compare", "writeReport"]


@pytest.mark.parametrize("installed", [True, False])
def test_every_button_that_is_off_says_why(case, installed):
    case.missing = [] if installed else ["torch>=2.4"]
    panel = case.open()
    panel.ui.lesion1Size.value = 80  # findings that cannot be
    off = {name for name in BUTTONS if not getattr(panel.ui, f"{name}Button").enabled}
    assert off == set(BUTTONS) - {"addFolder"} - ({"openFolder"} if installed else set())
    told = {name: getattr(panel.ui, f"{name}Button").toolTip for name in off}
    assert all(words in told[name] for name, words in {
        "generate": "Write a report first", "compare": "no synthetic volume yet", "writeReport": "Not possible",
        "download": "Type the model's name" if installed else "Wait until",
        "deleteModel": "were downloaded" if installed else "Wait until",
        "removeFolder": "were added",
    }.items())  # fmt: skip


def test_asks_for_what_the_panel_says(panel):
    scan = panel.add_scan()
    parameters = panel.parameters
    panel.ui.countSpin.value = 3
    panel.ui.newSeedCheck.checked = False
    panel.ui.seedSpin.value = 0
    panel.ui.stepsSpin.value = 12
    panel.ui.guidanceSpin.value = 2.5
    panel.ui.schedulerBox.currentIndex = panel.ui.schedulerBox.findText("UniPC")
    panel.ui.pathologyBox.currentIndex = 1
    panel.ui.deviceBox.currentIndex = panel.ui.deviceBox.findData("cpu")
    panel.ui.realScanBox.setCurrentNode(scan)
    params = panel.generate("Läsion links.").params
    assert parameters.realScan is scan
    asked = {name: params[name] for name in params if name not in ("output_dir", "shape", "spacing")}
    assert asked == {
        "report": "Läsion links.",
        "pathology": "negative",
        "model": "ccella-demo",
        "seed": 0,
        "count": 3,
        "num_inference_steps": 12,
        "scheduler": "unipc",
        "guidance_scale": 2.5,
        "device": "cpu",
        "sequences": None,
        "crop_mm": None,
    }


def test_the_model_s_own_values_are_left_to_the_model(panel):
    params = panel.generate().params
    assert (params["num_inference_steps"], params["scheduler"], params["pathology"]) == (None, None, None)


@pytest.mark.medium
def test_a_new_seed_each_time_is_shown_and_can_be_kept(panel):
    seeds = []
    for _run in range(2):
        request = panel.generate()
        request.finish()
        seeds.append(request.params["seed"])
        assert panel.ui.seedSpin.value == seeds[-1]
        assert not panel.ui.seedSpin.enabled and "New each time" in panel.ui.seedSpin.toolTip
    assert seeds[0] != seeds[1]
    panel.ui.newSeedCheck.checked = False
    assert panel.ui.seedSpin.enabled
    assert panel.generate().params["seed"] == seeds[1]


def test_while_it_runs_the_button_cancels(panel):
    request = panel.generate()
    button = panel.ui.generateButton
    assert (button.text, button.enabled) == ("Cancel", True)
    assert not panel.ui.progressBar.isHidden() and not panel.ui.progressLabel.isHidden()
    button.click()
    assert panel.client.cancelled
    assert (button.text, button.enabled) == ("Generate", True)
    assert panel.ui.statusLabel.text == "Generation was cancelled."
    assert panel.ui.progressBar.isHidden()
    assert panel.bench.messages == []
    assert request.params["report"] == "PI-RADS 4."


def test_until_the_worker_has_stopped_cancel_is_not_pressed_twice(panel, monkeypatch):
    monkeypatch.setattr(panel.client, "cancel", panel.client.cancelled.append)
    request = panel.generate()
    panel.ui.generateButton.click()
    assert panel.ui.progressLabel.text == "Cancelling…"
    assert not panel.ui.generateButton.enabled
    request.progress(stage="denoise", step=9, steps=30, volume=1, volumes=1, seconds_left=3.0)
    assert panel.ui.progressLabel.text == "Cancelling…"
    panel.ui.generateButton.click()
    assert len(panel.client.cancelled) == 1


@pytest.mark.parametrize(
    ("event", "text", "bar"),
    [
        (
            {"stage": "denoise", "step": 3, "steps": 30, "volume": 1, "volumes": 2, "seconds_left": 12.4},
            "Volume 1 of 2 · drawing, step 3 of 30 · about 12 s left",
            (3, 30),
        ),
        (
            {"stage": "load", "step": 0, "steps": 1, "volume": 1, "volumes": 1, "seconds_left": None},
            "Loading the model",
            (0, 0),
        ),
        (
            {"stage": "decode", "step": 2, "steps": 4, "volume": 1, "volumes": 1, "seconds_left": 150.0},
            "Developing the picture, step 2 of 4 · about 2 min left",
            (2, 4),
        ),
    ],
)
def test_shows_stage_step_and_time(panel, event, text, bar):
    panel.generate().progress(**event)
    assert panel.ui.progressLabel.text == text
    assert panel.ui.progressBar.maximum == bar[1]
    assert bar[1] == 0 or panel.ui.progressBar.value == bar[0]


def test_shows_the_volume_as_it_forms(panel):
    request = panel.generate()
    assert panel.ui.thumbnailLabel.isHidden()
    request.preview(b"no picture")
    assert panel.ui.thumbnailLabel.isHidden()
    request.preview(PIXEL)
    assert not panel.ui.thumbnailLabel.isHidden()
    assert panel.ui.thumbnailLabel.pixmap.height() == 160
    request.finish()
    assert panel.ui.thumbnailLabel.isHidden()


def test_the_result_is_shown_and_the_prediction_told(panel):
    import slicer

    assert panel.ui.predictionLabel.isHidden()
    panel.generate().finish()
    (node,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert panel.ui.statusLabel.text == f"Done: {node.GetName()}."
    assert panel.ui.predictionLabel.text == "The model reads the report as 25 % positive."
    assert panel.parameters.result is node
    assert panel.ui.syntheticBox.currentNode() is node
    composite = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")[0]
    assert composite.GetBackgroundVolumeID() == node.GetID()
    assert panel.ui.generateButton.text == "Generate"


@pytest.mark.medium
def test_all_sequences_of_a_model_come_and_the_first_is_shown(panel):
    import slicer

    panel.ui.countSpin.value = 2
    panel.generate().finish("t2w", "adc")
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert [node.GetAttribute("CCELLA.Sequence") for node in nodes] == ["t2w", "adc"] * 2
    assert panel.parameters.result is nodes[0]
    assert all(node.GetName() in panel.ui.statusLabel.text for node in nodes)
    panel.ui.syntheticBox.setCurrentNode(nodes[1])  # each can be compared
    assert panel.parameters.result is nodes[1]


def test_the_prediction_goes_with_the_report_that_it_was_read_from(panel):
    panel.generate().finish()
    assert not panel.ui.predictionLabel.isHidden()
    panel.ui.reportEdit.plainText += " Another sentence."
    assert panel.ui.predictionLabel.isHidden()
    request = panel.generate()
    panel.ui.reportEdit.plainText = "Changed while it runs."
    request.finish()
    assert panel.ui.predictionLabel.isHidden()


def test_estimates_again_after_a_run(panel):
    before = len(panel.client.asked("estimate"))
    panel.generate().finish()
    panel.settle()
    assert panel.client.asked("estimate")[before:] == panel.client.asked("estimate")[:1]


def test_a_failure_is_told_in_the_line_the_log_and_a_popup(panel):
    panel.generate().fail("died", "The generating process ended unexpectedly.", "Try again.")
    sentence = "The generating process ended unexpectedly. Try again."
    assert panel.ui.statusLabel.text == sentence
    assert sentence in panel.ui.logText.plainText
    assert [(message.kind, message.text) for message in panel.bench.messages] == [("critical", sentence)]
    panel.generate().finish()
    assert panel.ui.statusLabel.text.startswith("Done: SYNTHETIC")


@pytest.mark.medium
@pytest.mark.parametrize("code", ["memory", "gpu_memory", "hung", "rubbish", "version", "internal"])
def test_whatever_fails_it_is_said_and_the_next_press_works(panel, code):
    panel.generate().fail(code, "What happened.", "What to do.")
    assert panel.ui.statusLabel.text == "What happened. What to do." and panel.ui.generateButton.text == "Generate"
    assert panel.ui.generateButton.enabled
    panel.generate().finish()
    assert panel.ui.statusLabel.text.startswith("Done: ")


def test_a_real_scan_is_never_replaced(panel):
    scan = panel.add_scan()
    panel.ui.outputBox.setCurrentNode(scan)
    assert panel.ui.outputBox.currentNode() is None
    panel.parameters.outputVolume = scan  # a script might
    panel.ui.reportEdit.plainText = "PI-RADS 4."
    panel.ui.generateButton.click()
    assert panel.client.asked("generate") == []
    assert "synthetic" in panel.ui.statusLabel.text
    assert len(panel.bench.messages) == 1


def test_an_output_that_was_deleted_is_made_anew_and_its_neighbour_left_alone(panel):
    import slicer

    boxes = {"realScan": panel.ui.realScanBox, "outputVolume": panel.ui.outputBox, "result": panel.ui.syntheticBox}
    for _volume in range(2):
        panel.generate().finish()
    first, second = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    former = slicer.util.arrayFromVolume(first).copy()
    boxes["outputVolume"].setCurrentNode(second)
    panel.bench.scene.RemoveNode(second)
    assert panel.parameters.outputVolume is None and boxes["outputVolume"].currentNode() is None
    assert panel.parameters.result is None and boxes["result"].currentNode() is None
    panel.generate().finish()
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert len(volumes) == 2 and volumes[0] is first and panel.parameters.result is volumes[1]
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(first), former)


def test_nothing_is_laid_on_another_patient_s_scan_when_the_chosen_one_is_deleted(panel):
    panel.add_scan()
    chosen = panel.add_scan(shift=50.0)
    panel.ui.realScanBox.setCurrentNode(chosen)
    panel.bench.scene.RemoveNode(chosen)
    assert panel.parameters.realScan is None and panel.ui.realScanBox.currentNode() is None
    panel.generate().finish()
    matrix = vtk.vtkMatrix4x4()
    panel.parameters.result.GetIJKToRASMatrix(matrix)
    place = [matrix.GetElement(axis, 3) for axis in range(3)]
    assert place == pytest.approx([-5.5, -4.5, -7.5])  # where the model puts it


def test_what_is_missing_is_named_before_and_installed_by_the_first_press(case):
    case.missing = ["torch>=2.4", "monai>=1.5"]
    panel = case.open()
    assert panel.ui.statusLabel.text == (
        "The first press of Generate installs what is missing, after asking: torch, monai."
    )
    panel.ui.reportEdit.plainText = "PI-RADS 4."
    panel.ui.downloadName.text = "owner/name"
    panel.settle()
    assert panel.client.requests == {}
    assert not panel.ui.downloadButton.enabled
    panel.agrees = False
    panel.ui.generateButton.click()
    assert panel.client.requests == {}
    assert panel.ui.generateButton.enabled

    panel.agrees = True
    panel.ui.generateButton.click()
    assert [request.method for request in panel.client.requests.values()] == ["describe", "generate"]
    panel.settle()
    assert "A small model." in panel.ui.modelDetails.text
