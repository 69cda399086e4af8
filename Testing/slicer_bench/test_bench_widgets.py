"""The widgets of ctk and qMRML, loaded from a .ui file as Qt Designer writes it."""

import pytest
import slicer

UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0">
 <class>Toy</class>
 <widget class="qMRMLWidget" name="Toy">
  <layout class="QVBoxLayout" name="verticalLayout">
   <item><widget class="ctkCollapsibleButton" name="inputs">
     <property name="text"><string>Inputs</string></property>
     <layout class="QFormLayout" name="formLayout">
      <item row="0" column="0"><widget class="QLabel" name="label"><property name="text"><string>Scan:</string></property></widget></item>
      <item row="0" column="1"><widget class="qMRMLNodeComboBox" name="scan">
        <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
        <property name="noneEnabled"><bool>true</bool></property>
        <property name="SlicerParameterName" stdset="0"><string>scan</string></property>
      </widget></item>
      <item row="1" column="1"><widget class="ctkSliderWidget" name="fade">
        <property name="maximum"><double>1.0</double></property>
        <property name="singleStep"><double>0.05</double></property>
        {property}
      </widget></item>
     </layout>
   </widget></item>
   <item><widget class="{kind}" name="last"/></item>
  </layout>
 </widget>
 <customwidgets>
  <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>qMRMLWidget.h</header><container>1</container></customwidget>
  <customwidget><class>ctkCollapsibleButton</class><extends>QWidget</extends><header>ctkCollapsibleButton.h</header><container>1</container></customwidget>
  <customwidget><class>ctkSliderWidget</class><extends>QWidget</extends><header>ctkSliderWidget.h</header></customwidget>
  <customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends><header>qMRMLNodeComboBox.h</header></customwidget>
 </customwidgets>
 <resources/>
 <connections>
  <connection>
   <sender>Toy</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
   <receiver>scan</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot>
   <hints/>
  </connection>
 </connections>
</ui>
"""  # noqa: E501


@pytest.fixture
def load(slicer_bench, tmp_path):
    def load_ui(kind="QPushButton", property=""):
        file = tmp_path / "Toy.ui"
        file.write_text(UI.format(kind=kind, property=property), encoding="utf-8")
        return slicer.util.loadUI(str(file))

    return load_ui


def test_a_ui_file_is_loaded_and_connected(load):
    root = load()
    ui = slicer.util.childWidgetVariables(root)
    assert type(ui.scan) is slicer.qMRMLNodeComboBox
    assert (ui.inputs.text, ui.scan.nodeTypes, ui.fade.maximum) == ("Inputs", ["vtkMRMLScalarVolumeNode"], 1.0)
    assert ui.scan.property("SlicerParameterName") == "scan"
    clicked = []
    ui.last.connect("clicked()", lambda: clicked.append("by name"))
    ui.last.clicked.connect(lambda: clicked.append("by signal"))
    ui.last.click()
    assert clicked == ["by name", "by signal"]
    root.setMRMLScene(slicer.mrmlScene)
    assert ui.scan.mrmlScene() is slicer.mrmlScene


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kind": "ctkNothing"}, "ctkNothing"),
        ({"property": '<property name="maximun"><double>3</double></property>'}, "maximun"),
    ],
)
def test_what_the_bench_does_not_know_in_a_ui_file_is_named(load, changes, named):
    with pytest.raises(AttributeError, match=named):
        load(**changes)


def test_a_missing_ui_file_is_an_error(slicer_bench, tmp_path):
    with pytest.raises(RuntimeError, match="not found"):
        slicer.util.loadUI(str(tmp_path / "none.ui"))


def test_a_collapsed_section_hides_its_children(load, slicer_bench):
    root = load()
    ui = slicer.util.childWidgetVariables(root)
    root.show()
    heights = [root.sizeHint.height()]
    ui.label.visible = False
    ui.inputs.collapsed = True
    heights.append(root.sizeHint.height())
    assert [ui.inputs.checked, ui.scan.visible, ui.label.visible] == [False, False, False]
    assert ui.inputs.maximumHeight == ui.inputs.HEADER_HEIGHT
    ui.inputs.click()
    assert ui.inputs.maximumHeight > 1000
    assert [ui.inputs.collapsed, ui.scan.visible, ui.label.visible] == [False, True, False]
    assert heights[1] < heights[0] - 20


def test_a_slider_widget_is_bounded_and_tells_its_value(load):
    import ctk

    slider = ctk.ctkSliderWidget()
    got = []
    slider.connect("valueChanged(double)", got.append)
    slider.maximum = 1.0
    slider.singleStep = 0.01
    slider.value = 0.25
    slider.value = 7
    assert got == [0.25, 1.0]
    assert slider.value == 1.0
    with pytest.raises(AttributeError, match="maximun"):
        slider.maximun = 3


def test_a_path_edit_tells_its_path(slicer_bench):
    import ctk

    edit, got = ctk.ctkPathLineEdit(), []
    edit.currentPathChanged.connect(got.append)
    edit.currentPath = "/models"
    assert (edit.currentPath, got) == ("/models", ["/models"])


def test_a_node_selector_follows_the_scene(load):
    root = load()
    selector = slicer.util.childWidgetVariables(root).scan
    got = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", got.append)
    selector.setMRMLScene(slicer.mrmlScene)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T2")
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "Text")
    volume.HideFromEditorsOff()
    assert (selector.nodeCount(), selector.currentNode()) == (2, None)
    selector.setCurrentNode(volume)
    selector.showChildNodeTypes = False
    assert (selector.nodeCount(), selector.currentNodeID) == (1, volume.GetID())
    slicer.mrmlScene.RemoveNode(volume)
    selector.setCurrentNode(labels)
    assert (got, selector.currentNode()) == ([volume, None], None)


def test_a_node_selector_turns_to_a_neighbour_before_its_node_is_removed(slicer_bench):
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes, box.noneEnabled = ["vtkMRMLScalarVolumeNode"], True
    box.setMRMLScene(slicer.mrmlScene)
    first, second, third = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode") for _ in range(3))
    box.setCurrentNode(second)
    chosen = []
    about_to = slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent
    slicer.mrmlScene.AddObserver(about_to, lambda *_: chosen.append(box.currentNode()))
    for node in (second, first, third):
        slicer.mrmlScene.RemoveNode(node)
    assert chosen == [first, third, None] and box.currentNode() is None


def test_a_node_selector_without_none_chooses_by_itself(slicer_bench):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.addAttribute("vtkMRMLScalarVolumeNode", "CCELLA.Synthetic", "1")
    selector.setMRMLScene(slicer.mrmlScene)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Real")
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetAttribute("CCELLA.Synthetic", "1")
    slicer.mrmlScene.AddNode(node)
    assert (selector.nodeCount(), selector.currentNode()) == (1, node)
    slicer.mrmlScene.Clear(False)
    assert (selector.nodeCount(), selector.currentNode()) == (0, None)


def test_a_grabbed_panel_is_as_high_as_its_wrapped_text(slicer_bench, tmp_path):
    import qt

    panel, label = qt.QWidget(), qt.QLabel("one synthetic volume " * 20)
    label.wordWrap = True
    qt.QVBoxLayout(panel).addWidget(label)
    sizes = []
    for width in (200, 800):
        slicer_bench.grab(panel, tmp_path / "panel.png", width)
        picture = qt.QImage(str(tmp_path / "panel.png"))
        sizes.append((picture.width(), picture.height()))
    assert [width for width, _ in sizes] == [200, 800]
    assert sizes[0][1] > 2.5 * sizes[1][1]
