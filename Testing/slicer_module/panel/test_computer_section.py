"""Another computer: asked once, connected or not, and what the panel offers meanwhile."""

import pytest


@pytest.fixture
def host(panel):
    """The panel, connected."""
    connect(panel)
    return panel


def connect(panel, name="me@workstation", *, agree=True):
    panel.ui.hostEdit.text = name
    panel.bench.answer(*([True] if agree else []))
    panel.ui.hostButton.click()
    panel.settle()


def test_what_leaves_this_computer_is_said_and_asked_once(panel):
    connect(panel)
    (question,) = panel.bench.messages
    assert question.text.startswith("The reports that you generate from leave this computer for me@workstation.")
    assert "scan" not in question.text
    assert panel.client.host == "me@workstation"
    assert panel.ui.statusLabel.text == "me@workstation generates from now on."
    panel.ui.hostButton.click()
    assert panel.client.host == "" and panel.ui.statusLabel.text == "This computer generates again."
    panel.settle()
    connect(panel, agree=False)  # not asked again
    assert panel.client.host == "me@workstation" and len(panel.bench.messages) == 1


def press_edit(panel, *answers):
    panel.bench.answer(*answers)
    panel.ui.reportEdit.plainText = "PI-RADS 5."
    panel.ui.editScanBox.setCurrentNode(panel.parameters.editScan or panel.add_scan())
    panel.ui.editButton.click()


def test_before_the_first_scan_leaves_it_is_said_and_asked_once(host):
    press_edit(host, False)
    question = host.bench.messages[-1].text
    assert question.startswith("The scans that you edit leave this computer for me@workstation, and the masks")
    assert "reports" not in question and not host.client.asked("generate")
    assert (
        host.ui.statusLabel.text == "Nothing was sent to me@workstation." and host.ui.generateButton.text == "Generate"
    )
    press_edit(host, True)
    host.client.job().fail("input", "The scan is too small.")
    press_edit(host)  # not asked again
    assert len(host.client.asked("generate")) == 2
    assert [message.kind for message in host.bench.messages].count("question") == 3


def test_another_computer_is_asked_about_anew(host):
    press_edit(host, True)
    host.client.job().fail("input", "The scan is too small.")
    host.ui.hostButton.click()
    host.settle()
    connect(host, "me@laptop")
    press_edit(host, False)
    assert "me@laptop" in host.bench.messages[-1].text and len(host.client.asked("generate")) == 1


@pytest.mark.parametrize("former", ['["me@workstation"]', ["me@workstation"]])
def test_who_agreed_when_only_reports_were_sent_is_asked_about_the_scan(case, former):
    import qt

    qt.QSettings().setValue("CCELLAGenerator/agreedHosts", former)
    case.open()
    connect(case, agree=not isinstance(former, str))
    press_edit(case, False)
    assert "The scans that you edit leave this computer" in case.bench.messages[-1].text
    assert not case.client.asked("generate")


def test_on_this_computer_nobody_is_asked(panel):
    press_edit(panel)
    assert panel.client.asked("generate") and panel.bench.messages == []


def test_without_a_yes_nothing_is_connected(panel):
    panel.ui.hostEdit.text = "me@workstation"
    panel.bench.answer(False)
    panel.ui.hostButton.click()
    assert panel.client.host == "" and panel.client.closed == 0


def test_what_is_no_host_is_refused_and_not_asked_about(panel):
    panel.ui.hostEdit.text = "-oProxyCommand=x"
    panel.ui.hostButton.click()
    assert [message.kind for message in panel.bench.messages] == ["critical"]
    assert "is no other computer: write user@host" in panel.ui.statusLabel.text and panel.client.host == ""


def test_a_computer_that_cannot_be_reached_leaves_all_as_it_was(panel):
    del panel.client.replies["describe"]
    panel.ui.hostEdit.text = "me@workstation"
    panel.bench.answer(True)
    panel.ui.hostButton.click()
    assert panel.ui.progressLabel.text == "Connecting to me@workstation…" and not panel.ui.hostEdit.enabled
    panel.client.job("describe").fail("host", "me@workstation cannot be reached.", "Check the network.")
    assert panel.client.host == "" and panel.ui.statusLabel.text.startswith("me@workstation cannot be reached.")
    assert panel.ui.hostEdit.enabled and panel.ui.hostButton.text == "Connect"


def test_connecting_can_be_given_up(panel):
    del panel.client.replies["describe"]
    connect(panel)
    panel.ui.generateButton.click()
    assert panel.client.host == "" and panel.ui.generateButton.text == "Generate"
    assert panel.ui.statusLabel.text == "This computer generates again."


def test_models_are_those_of_the_computer_and_managed_there(panel):
    panel.client.set_models({"name": "theirs"})
    connect(panel)
    assert panel.client.asked("describe")[-1] == {"model_folders": []}  # ours are nobody's business there
    assert [panel.ui.modelBox.itemData(index) for index in range(2)] == ["theirs", "ccella-demo"]
    assert panel.ui.modelBox.currentText == "ccella-demo (not there)"
    assert "This model is not on me@workstation: choose another one." in panel.ui.generateButton.toolTip + (
        panel.ui.modelDetails.text
    )
    for button in (panel.ui.addFolderButton, panel.ui.removeFolderButton, panel.ui.downloadButton):
        assert not button.enabled and button.toolTip == "The models of another computer are managed there."


def test_nothing_needs_to_be_installed_here_for_it(case):
    case.missing = ["torch>=2.4"]
    case.open()
    connect(case)
    case.generate()
    assert case.missing and case.client.asked("generate")


def test_it_cannot_be_changed_while_something_is_under_way(host):
    host.generate()
    assert not host.ui.hostButton.enabled
    assert host.ui.hostButton.toolTip == "Wait until what is under way has ended."
    host.client.job().finish()
    assert host.ui.hostButton.enabled and host.ui.hostButton.text == "Back to this computer"


def test_the_next_start_begins_on_this_computer_and_knows_the_name(host):
    host.bench.unload_module()
    host.bench.load_module()
    host.open()
    assert host.ui.hostEdit.text == "me@workstation" and host.ui.hostButton.text == "Connect"
