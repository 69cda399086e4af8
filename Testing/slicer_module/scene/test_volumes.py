"""Result files in the scene: names, placement, display, provenance, and what survives saving it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import slicer
import vtk
from fake_client import SPACING, save_volume

from ccella_core.imaging.orientation import affine_of
from ccella_core.imaging.volume import SyntheticVolume

NASTY_REPORT = 'Läsion; "links": 5 mm\nzweite Zeile, 100 % $7 \\ <T2> & 前列腺'


@pytest.fixture
def volumes(slicer_bench: Any) -> Any:
    """The module under test, imported once Slicer's stand-ins are there."""
    from CCELLAGeneratorLib.scene import volumes

    return volumes


def result(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"volumes": list(entries), "seconds": 1.0, "load_seconds": 0.0}


def matrix_of(node: Any) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def rotation(generator: np.random.Generator) -> np.ndarray:
    """Any rotation or, as often, a rotation and a reflection."""
    return np.linalg.qr(generator.normal(size=(3, 3)))[0]


def reference_image(generator: np.random.Generator) -> sitk.Image:
    image = sitk.Image(*[int(size) for size in generator.integers(1, 40, 3)], sitk.sitkInt16)
    image.SetDirection(rotation(generator).ravel().tolist())
    image.SetSpacing(generator.uniform(0.3, 5, 3).tolist())
    image.SetOrigin(generator.uniform(-200, 200, 3).tolist())
    return image


def add_reference(image: sitk.Image, name: str = "T2 of a patient") -> Any:
    return slicer.util.addVolumeFromArray(sitk.GetArrayFromImage(image), affine_of(image), name)


def add_linear_transform(matrix: np.ndarray) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def rigid(generator: np.random.Generator) -> np.ndarray:
    matrix = np.eye(4)
    turned = rotation(generator)
    matrix[:3, :3] = turned * np.linalg.det(turned)  # no reflection: patients are moved, not mirrored
    matrix[:3, 3] = generator.uniform(-50, 50, 3)
    return matrix


def test_voxels_geometry_and_name(volumes: Any, tmp_path: Path) -> None:
    entry = save_volume(tmp_path)
    (node,) = volumes.add_volumes(result(entry))
    saved = SyntheticVolume.load(entry["path"])
    assert np.array_equal(slicer.util.arrayFromVolume(node), saved.voxels.transpose(2, 1, 0))
    np.testing.assert_allclose(matrix_of(node), saved.affine, atol=1e-5)
    assert node.GetName() == "SYNTHETIC t2w seed 7 (tiny)"
    assert node.GetStorageNode() is None  # the file is temporary: the scene must not refer to it


def test_names_are_unique_and_take_a_title(volumes: Any, tmp_path: Path) -> None:
    twice = result(save_volume(tmp_path))
    names = [volumes.add_volumes(twice)[0].GetName() for _ in range(3)]
    assert len(set(names)) == 3 and all(name.startswith("SYNTHETIC t2w seed 7 (tiny)") for name in names)
    (titled,) = volumes.add_volumes(twice, title="Fall 3")
    assert titled.GetName() == "SYNTHETIC Fall 3 t2w seed 7 (tiny)"


def test_sequences_of_one_seed_are_told_apart_and_lie_on_each_other(volumes: Any, tmp_path: Path) -> None:
    entries = [save_volume(tmp_path, name, sequence=name) for name in ("t2w", "hbv", "adc")]
    scan = add_reference(reference_image(np.random.default_rng(3)))
    nodes = volumes.add_volumes(result(*entries), scan)
    assert [node.GetName() for node in nodes] == [f"SYNTHETIC {name} seed 7 (tiny)" for name in ("t2w", "hbv", "adc")]
    assert [node.GetAttribute("CCELLA.Sequence") for node in nodes] == ["t2w", "hbv", "adc"]
    assert all(np.array_equal(matrix_of(node), matrix_of(nodes[0])) for node in nodes)
    assert all(volumes.is_synthetic(node) for node in nodes)


def test_display_is_grey_with_a_window_by_percentiles(volumes: Any, tmp_path: Path) -> None:
    voxels = np.linspace(0, 1, 1001).repeat(8)[: 20 * 20 * 20].reshape(20, 20, 20)
    voxels[0, 0, 0] = 1e6  # one hot voxel must not make the rest dark
    (node,) = volumes.add_volumes(result(save_volume(tmp_path, voxels=voxels)))
    display = node.GetDisplayNode()
    assert display.GetColorNode().GetName() == "Grey"
    assert (display.GetAutoWindowLevel(), display.GetInterpolate()) == (0, 1)
    np.testing.assert_allclose([display.GetWindowLevelMin(), display.GetWindowLevelMax()], [0.01, 0.99], atol=2e-3)


@pytest.mark.medium
@pytest.mark.parametrize("seed", range(12))
def test_lies_on_the_reference_as_the_library_lays_it(volumes: Any, tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    entry = save_volume(tmp_path)
    image = reference_image(generator)
    (node,) = volumes.add_volumes(result(entry), add_reference(image))
    np.testing.assert_allclose(matrix_of(node), SyntheticVolume.load(entry["path"]).place_on(image).affine, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(matrix_of(node)[:3, :3], axis=0), SPACING, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_parent_transforms_of_the_reference_count(volumes: Any, tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(100 + seed)
    entry = save_volume(tmp_path)
    image, inner, outer = reference_image(generator), rigid(generator), rigid(generator)
    reference = add_reference(image)
    parent, grandparent = add_linear_transform(inner), add_linear_transform(outer)
    parent.SetAndObserveTransformNodeID(grandparent.GetID())
    reference.SetAndObserveTransformNodeID(parent.GetID())
    (node,) = volumes.add_volumes(result(entry), reference)

    ras_to_lps = np.diag([-1, -1, 1, 1])
    moved = ras_to_lps @ outer @ inner @ affine_of(image)
    hardened = sitk.Image(image)
    hardened.SetDirection((moved[:3, :3] / image.GetSpacing()).ravel().tolist())
    hardened.SetOrigin(moved[:3, 3].tolist())
    np.testing.assert_allclose(
        matrix_of(node), SyntheticVolume.load(entry["path"]).place_on(hardened).affine, atol=1e-4
    )
    assert node.GetParentTransformNode() is None


def test_a_shearing_parent_leaves_voxels_boxes(volumes: Any, tmp_path: Path) -> None:
    image = reference_image(np.random.default_rng(5))
    reference = add_reference(image)
    shear = np.eye(4)
    shear[0, 1], shear[2, 2] = 0.4, 1.5
    reference.SetAndObserveTransformNodeID(add_linear_transform(shear).GetID())
    (node,) = volumes.add_volumes(result(save_volume(tmp_path)), reference)
    axes = matrix_of(node)[:3, :3]
    np.testing.assert_allclose(axes.T @ axes, np.diag(np.square(SPACING)), atol=1e-4)
    middle = (np.array(image.GetSize()) - 1) / 2
    centre = shear @ affine_of(image) @ [*middle, 1]
    own_middle = (np.array(node.GetImageData().GetDimensions()) - 1) / 2
    np.testing.assert_allclose(matrix_of(node) @ [*own_middle, 1], centre, atol=1e-4)


def test_every_fact_is_on_the_node(volumes: Any, tmp_path: Path) -> None:
    entry = save_volume(tmp_path, report=NASTY_REPORT, pathology_requested="positive", warnings=["Zu lang."])
    (node,) = volumes.add_volumes(result(entry))
    attributes = {name: node.GetAttribute(name) for name in node.GetAttributeNames()}
    assert attributes.pop("CCELLA.Synthetic") == "1" and attributes.pop("CCELLA.Sequence") == "t2w"
    assert attributes["CCELLA.Seed"] == "7" and attributes["CCELLA.Report"] == NASTY_REPORT
    assert json.loads(attributes["CCELLA.Shape"]) == [12, 10, 6]
    assert json.loads(attributes["CCELLA.Warnings"]) == ["Zu lang."]
    given = {key for key, value in entry["provenance"].items() if value is not None}
    assert set(attributes) == {"CCELLA." + key.title().replace("_", "") for key in given}


def test_what_was_not_asked_for_has_no_attribute(volumes: Any, tmp_path: Path) -> None:
    (node,) = volumes.add_volumes(result(save_volume(tmp_path, pathology_requested=None)))
    assert node.GetAttribute("CCELLA.PathologyRequested") is None


def test_volume_and_provenance_lie_in_the_folder(volumes: Any, tmp_path: Path) -> None:
    entries = [save_volume(tmp_path, f"v{seed}", seed=seed) for seed in (1, 2)]
    nodes = volumes.add_volumes(result(*entries))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = hierarchy.GetItemChildWithName(hierarchy.GetSceneItemID(), "SYNTHETIC – CCELLA")
    for node, entry in zip(nodes, entries, strict=True):
        text = node.GetNodeReference("CCELLA.Provenance")
        assert {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(each)) for each in (node, text)} == {folder}
        content = json.loads(text.GetText())
        assert content["provenance"] == entry["provenance"] and content["synthetic"] is True
        assert text.GetName() == f"{node.GetName()} provenance"
    assert hierarchy.GetNumberOfItemChildren(folder) == 4


def test_replaces_the_output_volume(volumes: Any, tmp_path: Path) -> None:
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Output")
    output.SetAndObserveTransformNodeID(add_linear_transform(rigid(np.random.default_rng(1))).GetID())
    first = result(save_volume(tmp_path, "a", seed=1, pathology_requested="positive"))
    second = result(save_volume(tmp_path, "b", seed=2, voxels=np.ones((4, 4, 4))), save_volume(tmp_path, "c", seed=3))
    assert volumes.add_volumes(first, output_node=output) == [output]
    assert output.GetName() == "SYNTHETIC t2w seed 1 (tiny)"
    identifier, display = output.GetID(), output.GetDisplayNode()
    node, other = volumes.add_volumes(second, output_node=output)
    assert node is output and other is not output
    assert (node.GetID(), node.GetDisplayNode()) == (identifier, display)
    assert node.GetName() == "SYNTHETIC t2w seed 2 (tiny)" and node.GetImageData().GetDimensions() == (4, 4, 4)
    assert node.GetAttribute("CCELLA.PathologyRequested") is None  # was the first one's
    assert json.loads(node.GetNodeReference("CCELLA.Provenance").GetText())["provenance"]["seed"] == 2
    assert len(slicer.util.getNodesByClass("vtkMRMLTextNode")) == 2
    assert node.GetParentTransformNode() is None
    volumes.add_volumes(result(save_volume(tmp_path, "d", seed=2)), output_node=output)
    assert output.GetName() == "SYNTHETIC t2w seed 2 (tiny)"


@pytest.mark.parametrize("damage", ["no image", "half an image", "no sidecar", "half a sidecar"])
def test_unreadable_files_leave_the_scene_as_it_was(volumes: Any, tmp_path: Path, damage: str) -> None:
    entries = [save_volume(tmp_path, name) for name in ("good", "bad")]
    file = Path(entries[1]["path" if "image" in damage else "sidecar"])
    content = file.read_bytes()
    file.unlink()
    if damage.startswith("half"):
        file.write_bytes(content[:100])
    before = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(OSError, match="SYNTHETIC_bad"):
        volumes.add_volumes(result(*entries))
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_saved_and_restored_with_the_scene(volumes: Any, tmp_path: Path) -> None:
    entry = save_volume(tmp_path, report=NASTY_REPORT)
    (node,) = volumes.add_volumes(result(entry))
    attributes = {name: node.GetAttribute(name) for name in node.GetAttributeNames()}
    voxels, matrix = slicer.util.arrayFromVolume(node).copy(), matrix_of(node)
    archive = tmp_path / "Szene.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(archive))
    slicer.mrmlScene.Clear(False)
    assert slicer.mrmlScene.ReadFromMRB(str(archive))

    (again,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert volumes.is_synthetic(again)
    assert {name: again.GetAttribute(name) for name in again.GetAttributeNames()} == attributes
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(again), voxels)
    np.testing.assert_allclose(matrix_of(again), matrix, atol=1e-5)
    assert json.loads(again.GetNodeReference("CCELLA.Provenance").GetText())["provenance"] == entry["provenance"]
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert hierarchy.GetItemName(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(again))) == volumes.FOLDER_NAME
    volumes.add_volumes(result(save_volume(tmp_path, "next", seed=8)))
    assert hierarchy.GetNumberOfItemChildren(hierarchy.GetSceneItemID()) == 1  # one folder, and all in it


def test_what_counts_as_synthetic(volumes: Any) -> None:
    def named(name: str) -> Any:
        return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)

    marked = named("renamed by the user")
    marked.SetAttribute("CCELLA.Synthetic", "1")
    assert volumes.is_synthetic(marked) and volumes.is_synthetic(named("SYNTHETIC_case1_seed7"))
    assert not volumes.is_synthetic(named("T2 of a patient")) and not volumes.is_synthetic(None)


@pytest.mark.parametrize(
    ("name", "synthetic", "source"),
    [
        ("SYNTHETIC_tiny_seed7", True, ""),
        ("1: SYNTHETIC t2w seed 7 (tiny 1)", True, ""),  # as Slicer names a series that it loads from DICOM
        ("12: SYNTHETIC (EDITED FROM 1a2b3c4d) t2w", True, "1a2b3c4d"),
        ("SYNTHETIC_EDITED_FROM_1a2b3c4d_tiny_seed7", True, "1a2b3c4d"),
        ("5: t2_tse_tra", False, ""),
        ("5: synthetic b1400", False, ""),  # what scanners call a computed image of a patient
        ("after SYNTHETIC", False, ""),
    ],
)
def test_what_was_loaded_is_known_by_its_name(slicer_bench: Any, name: str, synthetic: bool, source: str) -> None:
    slicer_bench.load_module()
    from CCELLAGeneratorLib.scene.volumes import edited_from, is_synthetic

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    assert is_synthetic(node) is synthetic and edited_from(node) == source
