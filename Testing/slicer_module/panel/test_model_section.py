"""The models: what is told of them, when one cannot be used, adding, fetching and deleting them."""

import pytest

BROKEN = {
    "name": "broken", "path": "/models/broken", "problem": "a file is missing <here>", "description": None,
    "intended_use": None, "licence": None, "version": None, "sequences": None, "native_shape": None,
    "native_spacing_mm": None, "default_num_inference_steps": None, "default_scheduler": None, "size_bytes": None,
    "reads_report": None, "draws_one": None, "default_guidance_scale": None,
}  # fmt: skip
MINE = {"name": "mine", "path": "/user/mine", "origin": "user", "deletable": True}
TOO_LARGE = {
    "seconds": None, "memory_gib": 40.0, "available_gib": 12.5, "fits": False, "basis": "estimated",
    "device": "CPU, 8 cores",
}  # fmt: skip


def items(box):
    return [(box.itemText(index), box.itemData(index)) for index in range(box.count)]


def choose(panel, key):
    index = panel.ui.modelBox.findData(key)
    assert index >= 0, items(panel.ui.modelBox)
    panel.ui.modelBox.currentIndex = index


def test_tells_what_a_model_is_for_before_it_is_used(panel):
    assert items(panel.ui.modelBox) == [("ccella-demo 1.0.0", "ccella-demo")]
    text = panel.ui.modelDetails.text
    for fact in ("A small model.", "Not for diagnosis.", "Apache-2.0", "27 MB", "96 × 96 × 32", "1 × 1 × 3 mm", "t2w"):
        assert fact in text
    assert panel.ui.modelDetails.toolTip == "/models/ccella-demo"
    assert panel.ui.stepsSpin.specialValueText == "The model's own (30)"
    assert panel.ui.schedulerBox.itemText(0) == "The model's own (DPM-Solver++)"


def test_estimates_once_for_what_was_chosen_last(panel):
    assert panel.ui.estimateLabel.text == (
        "Takes about 4 s, as the last run did. Memory: up to 0.5 of 12.5 GiB free on CPU, 8 cores."
    )
    before = len(panel.client.asked("estimate"))
    for count in (2, 3, 4):
        panel.ui.countSpin.value = count
    assert panel.ui.estimateLabel.text == ""
    panel.settle()
    assert panel.client.asked("estimate")[before:] == [
        {"model": "ccella-demo", "device": "auto", "num_inference_steps": None, "count": 4, "guidance_scale": None}
    ]


@pytest.mark.parametrize(
    ("seconds", "basis", "words"),
    [
        (0.2, "measured", "Takes about 1 s, as the last run did."),
        (89.0, "measured", "Takes about 89 s, as the last run did."),
        (600.0, "estimated", "Takes very roughly 10 min, not counting the loading."),
    ],
)
def test_estimates_in_words(case, seconds, basis, words):
    from CCELLAGeneratorLib.panel.model_section import estimate_text

    value = {**case.client.replies["estimate"], "seconds": seconds, "basis": basis}
    assert estimate_text(value) == f"{words} Memory: up to 0.5 of 12.5 GiB free on CPU, 8 cores."


def test_says_where_the_text_encoder_is_read_a_layer_at_a_time(case):
    from CCELLAGeneratorLib.panel.model_section import estimate_text

    value = {**case.client.replies["estimate"], "streams_encoder": True}
    assert estimate_text(value).endswith("each of its layers is read from the disk.")


def test_what_does_not_fit_in_memory_is_not_started(panel):
    panel.ui.reportEdit.plainText = "PI-RADS 4."
    panel.client.replies["estimate"] = TOO_LARGE
    panel.ui.countSpin.value = 2
    panel.settle()
    sentence = (
        "This needs about 40.0 GiB of memory, and 12.5 GiB are free on CPU, 8 cores: "
        "choose another model or device, or close other programs."
    )
    assert panel.ui.estimateLabel.text == f"<b>{sentence}</b>"
    assert not panel.ui.generateButton.enabled
    assert panel.ui.generateButton.toolTip == sentence
    del panel.client.replies["estimate"]
    panel.ui.countSpin.value = 1
    assert panel.ui.generateButton.enabled  # not known to be too large


def test_a_model_that_cannot_be_used_says_why(case):
    case.client.set_models({}, BROKEN)
    panel = case.open()
    panel.ui.reportEdit.plainText = "PI-RADS 4."
    choose(panel, "broken")
    assert panel.ui.modelDetails.text == "This model cannot be used: a file is missing &lt;here&gt;"
    assert not panel.ui.generateButton.enabled
    assert panel.ui.generateButton.toolTip == "This model cannot be used: a file is missing <here>"
    choose(panel, "ccella-demo")
    assert panel.ui.generateButton.enabled


def test_a_model_of_another_computer_stays_chosen_and_says_so(case):
    case.open()
    case.parameters.model = "theirs"
    case.bench.leave_module()
    panel = case.open()
    panel.ui.reportEdit.plainText = "PI-RADS 4."
    assert panel.parameters.model == "theirs"
    assert panel.ui.modelBox.currentText == "theirs (not on this computer)"
    assert "not on this computer" in panel.ui.modelDetails.text
    assert "not on this computer" in panel.ui.generateButton.toolTip
    assert not panel.ui.generateButton.enabled


@pytest.mark.medium
def test_of_models_with_the_same_name_the_first_is_found_by_it(case):
    added = {"name": "ccella-demo", "path": "/added/ccella-demo", "origin": "folder", "version": "2"}
    case.client.set_models(MINE, {}, {**MINE, "path": "/user/other"}, added)
    panel = case.open()
    assert items(panel.ui.modelBox) == [
        ("mine 1.0.0", "mine"),
        ("ccella-demo 1.0.0", "ccella-demo"),
        ("mine 1.0.0", "/user/other"),
        ("ccella-demo 2 (added)", "/added/ccella-demo"),
    ]
    assert panel.parameters.model == "ccella-demo"


def test_folders_are_added_once_and_kept(panel):
    folder = "/data/Modèles"
    panel.bench.answer_file(folder, folder, "")
    for _press in range(3):
        panel.ui.addFolderButton.click()
    assert [asked["model_folders"] for asked in panel.client.asked("describe")] == [[], [folder], [folder]]
    panel.bench.leave_module()
    panel.open()
    assert panel.client.asked("describe")[-1] == {"model_folders": [folder]}


def test_an_added_folder_can_be_taken_off_the_list_again(case):
    folders = ["/data/models", "/data/one/model"]
    within = {"name": "within", "path": "/data/models/within", "origin": "folder"}
    itself = {"name": "itself", "path": "/data/one/model", "origin": "folder"}
    case.client.set_models({}, within, itself)
    panel = case.open()
    for folder in folders:
        panel.bench.answer_file(folder)
        panel.ui.addFolderButton.click()
    assert not panel.ui.removeFolderButton.enabled
    assert panel.ui.removeFolderButton.toolTip == "Only folders that were added can be taken off the list."
    choose(panel, "/data/models/within")
    assert panel.ui.removeFolderButton.enabled and "its files stay" in panel.ui.removeFolderButton.toolTip
    panel.ui.removeFolderButton.click()
    assert panel.client.asked("describe")[-1] == {"model_folders": folders[1:]}
    choose(panel, "/data/one/model")
    panel.ui.removeFolderButton.click()
    assert panel.client.asked("describe")[-1] == {"model_folders": []}


def test_devices_are_named_with_their_memory(panel):
    assert items(panel.ui.deviceBox) == [
        ("Automatic", "auto"),
        ("NVIDIA RTX 4090: 22.1 of 24.0 GiB free", "cuda:0"),
        ("CPU, 8 cores: 12.5 of 16.0 GiB free", "cpu"),
    ]
    panel.ui.deviceBox.currentIndex = 1
    panel.settle()
    assert panel.parameters.device == "cuda:0"
    assert panel.client.asked("estimate")[-1]["device"] == "cuda:0"


def test_the_folder_of_a_model_is_opened(panel):
    panel.ui.openFolderButton.click()
    assert panel.bench.opened_urls == ["file:///models/ccella-demo"]


def test_only_what_was_downloaded_can_be_deleted_and_only_after_a_yes(case):
    case.client.set_models({}, MINE)
    panel = case.open()
    assert not panel.ui.deleteModelButton.enabled
    assert panel.ui.deleteModelButton.toolTip == "Only models that were downloaded can be deleted."
    choose(panel, "mine")
    panel.bench.answer(False, True)
    panel.ui.deleteModelButton.click()
    assert panel.client.asked("delete") == []
    panel.ui.deleteModelButton.click()
    assert panel.client.asked("delete") == [{"path": "/user/mine"}]
    assert not panel.ui.generateButton.enabled
    assert panel.ui.generateButton.toolTip == "This is soon over and cannot be stopped."
    panel.client.set_models({})
    panel.client.reply("delete", {})
    panel.settle()
    assert panel.ui.statusLabel.text == "The model was deleted."
    assert panel.ui.modelBox.currentText == "mine (not on this computer)"


@pytest.mark.parametrize("typed", ["owner/name", " hf:owner/name "])
def test_downloads_by_name_after_a_yes(panel, typed):
    assert not panel.ui.downloadButton.enabled
    assert "hf:owner/name" in panel.ui.downloadButton.toolTip
    panel.ui.downloadName.text = typed
    panel.bench.answer(True)
    panel.ui.downloadButton.click()
    assert panel.client.asked("download") == [{"name": "hf:owner/name"}]
    assert panel.ui.generateButton.text == "Cancel"
    assert not panel.ui.downloadButton.enabled
    assert panel.ui.downloadButton.toolTip == "Wait until what is under way has ended."
    panel.client.set_models({}, MINE)
    panel.client.reply("download", {"name": "mine"})
    panel.settle()
    assert panel.ui.statusLabel.text == "mine was downloaded and can be chosen above."
    assert [key for _text, key in items(panel.ui.modelBox)] == ["ccella-demo", "mine"]


def test_a_download_can_be_cancelled(panel):
    panel.ui.downloadName.text = "owner/name"
    panel.bench.answer(True)
    panel.ui.downloadButton.click()
    panel.ui.generateButton.click()
    assert len(panel.client.cancelled) == 1
    assert panel.ui.generateButton.text == "Generate"
    assert panel.ui.downloadButton.enabled
    assert panel.bench.messages[1:] == []


def test_a_download_that_fails_is_told(panel):
    panel.ui.downloadName.text = "owner/name"
    panel.bench.answer(True)
    panel.ui.downloadButton.click()
    panel.client.job("download").fail("model", "hf:owner/name could not be downloaded.", "Check the name.")
    assert panel.ui.statusLabel.text == "hf:owner/name could not be downloaded. Check the name."
    assert panel.bench.messages[-1].kind == "critical"
    assert panel.ui.downloadButton.enabled


def test_a_worker_that_cannot_tell_is_no_popup(case):
    del case.client.replies["describe"]
    panel = case.open()
    panel.client.job("describe").fail("start", "The generating process could not be started.", "Read the log.")
    assert panel.ui.statusLabel.text == "The generating process could not be started. Read the log."
    assert panel.bench.messages == []
    panel.ui.reportEdit.plainText = "PI-RADS 4."
    assert panel.ui.generateButton.enabled  # a press tries again
