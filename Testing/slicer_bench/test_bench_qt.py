"""The flat ``qt`` behaves as PythonQt's: attributes, signals by signature, swallowed exceptions."""

import pytest

pytestmark = pytest.mark.usefixtures("slicer_bench")


def test_a_property_is_an_attribute_and_cannot_be_called():
    import qt

    button = qt.QPushButton("Generate")
    button.enabled = False
    button.name = "generateButton"
    assert (button.text, button.enabled, button.objectName, button.className()) == (
        "Generate", False, "generateButton", "QPushButton",
    )  # fmt: skip
    with pytest.raises(TypeError, match="not callable"):
        button.text()
    assert not button.isEnabled()


def test_what_does_not_exist_says_its_name():
    import ctk
    import qt

    with pytest.raises(AttributeError, match="enabeld"):
        qt.QPushButton().enabeld = False
    with pytest.raises(AttributeError, match="width"):
        qt.QPushButton().width = 3
    own = type("Section", (qt.QWidget,), {"__module__": "panel"})()
    own.anything, own.button = 3, qt.QPushButton()
    own.button.name = "button"
    own.button = own.button
    assert (own.anything, own.button.className()) == (3, "QPushButton")
    for module, name in ((qt, "QNothing"), (qt, "Signal"), (ctk, "ctkNothing")):
        with pytest.raises(AttributeError, match=name):
            getattr(module, name)


def test_a_slot_gets_as_many_arguments_as_it_takes():
    import qt

    got = []
    button = qt.QPushButton()
    button.checkable = True
    button.connect("clicked(bool)", got.append)
    button.connect("clicked(bool)", lambda: got.append("none"))
    button.connect("clicked()", lambda *values: got.append(values))
    button.click()
    assert got == [True, "none", ()]


def test_disconnecting_takes_back_what_was_connected():
    import qt

    got = []
    box = qt.QSpinBox()
    box.connect("valueChanged(int)", got.append)
    box.value = 3
    assert box.disconnect("valueChanged(int)", got.append)
    box.value = 4
    assert got == [3]
    with pytest.raises(AttributeError, match="was not connected"):
        box.disconnect("valueChanged(int)", got.append)
    with pytest.raises(AttributeError, match=r"valueChanged\(double\).*QSpinBox"):
        box.connect("valueChanged(double)", got.append)


def test_an_exception_in_a_slot_is_swallowed_and_kept(slicer_bench):
    import qt

    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.clicked.connect(lambda: [][1])
    button.click()
    qt.QTimer.singleShot(0, lambda: {}["key"])
    slicer_bench.process_events()
    errors = slicer_bench.take_slot_errors()
    kinds = ("ZeroDivisionError", "IndexError", "KeyError")
    assert [kind in error for kind, error in zip(kinds, errors, strict=True)] == [True, True, True]
    assert slicer_bench.take_slot_errors() == []


def test_a_process_talks_both_ways(slicer_bench):
    import sys

    import qt

    ended = []
    process = qt.QProcess()
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ended.append((code, status)))
    process.start(sys.executable, ["-c", "print(input().upper()); raise SystemExit(3)"])
    process.write(b"reported\n")
    slicer_bench.wait_until(lambda: ended)
    assert ended == [(3, qt.QProcess.NormalExit)]
    assert process.readAllStandardOutput().data().strip() == b"REPORTED"


def test_thousands_of_calls_do_not_wear_python_out():
    import qt

    label = qt.QLabel()
    for count in range(20_000):
        label.setNum(count)
    assert label.text == "19999"


def test_settings_are_of_one_test_and_read_back_as_strings():
    import qt

    assert qt.QSettings().value("CCELLAGenerator/KeepReports") is None
    qt.QSettings().setValue("CCELLAGenerator/KeepReports", False)
    qt.QSettings().sync()
    assert qt.QSettings().value("CCELLAGenerator/KeepReports", True) in (False, "false")
    with pytest.raises(TypeError, match="type"):
        qt.QSettings().value("CCELLAGenerator/KeepReports", False, type=bool)


def test_files_are_chosen_by_the_test(slicer_bench):
    import qt

    slicer_bench.answer_file("/reports/one.txt")
    assert qt.QFileDialog.getOpenFileName(None, "Open report") == "/reports/one.txt"
    with pytest.raises(RuntimeError, match="Open another"):
        qt.QFileDialog.getOpenFileName(None, "Open another")
    slicer_bench.dialogs.unanswered.clear()


def test_a_heartbeat_notices_a_loop_that_stands_still(slicer_bench):
    import time

    with slicer_bench.heartbeat() as beat:
        slicer_bench.process_events(0.05)
        free = beat.longest_ms
        time.sleep(0.2)
        slicer_bench.process_events(0.02)
    assert free < 150 < 199 < beat.longest_ms


def test_nothing_waits_for_a_user_who_is_not_there(slicer_bench):
    import qt

    for ask in (qt.QDialog().exec_, lambda: qt.QMessageBox.question(None, "Title", "Really?")):
        with pytest.raises(AttributeError, match=r"slicer\.util"):
            ask()
    loop = qt.QEventLoop()
    qt.QTimer.singleShot(1, loop.quit)
    assert loop.exec_() == 0
