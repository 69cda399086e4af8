"""Synthetic volumes of the scene as DICOM: by script and by Slicer's own dialog, read back by Slicer's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import slicer
import vtk
from fake_client import SHAPE, save_volume

from ccella_core.imaging.dicom.export import export_dicom
from ccella_core.imaging.volume import SyntheticVolume


@pytest.fixture
def logic(slicer_bench: Any) -> Any:
    slicer_bench.load_module()
    slicer_bench.app.startupCompleted.emit()
    return slicer.util.getModuleLogic("CCELLAGenerator")


def add(folder: Path, *sequences: str, **facts: Any) -> list[Any]:
    """What a run puts into the scene."""
    from CCELLAGeneratorLib.scene.volumes import add_volumes

    entries = [save_volume(folder, f"{sequence}{len(facts)}", sequence=sequence, **facts) for sequence in sequences]
    return add_volumes({"volumes": entries})


def item_of(node: Any) -> int:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene).GetItemByDataNode(node)


def read_by_slicer(series: Path) -> Any:
    """As Slicer's DICOM module loads a series of images."""
    files = vtk.vtkStringArray()
    names = [str(path) for path in sorted(series.iterdir())]
    for name in names:
        files.InsertNextValue(name)
    return slicer.modules.volumes.logic().AddArchetypeScalarVolume(names[0], "again", 0, files)


def world(volume: Any) -> np.ndarray:
    from CCELLAGeneratorLib.scene.geometry import world_from_ijk

    return world_from_ijk(volume)


def assert_same(again: Any, volume: Any, tolerance: float) -> None:
    """Every voxel is found at its point of the world."""
    ijk = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1).reshape(-1, 3)
    to_again = np.linalg.inv(world(again)) @ world(volume)
    there = ijk @ to_again[:3, :3].T + to_again[:3, 3]
    np.testing.assert_allclose(there, np.rint(there), atol=1e-3)
    i, j, k = np.rint(there).astype(int).T
    assert min(map(min, (i, j, k))) == 0
    voxels = slicer.util.arrayFromVolume(again).transpose(2, 1, 0)[i, j, k]
    expected = slicer.util.arrayFromVolume(volume).transpose(2, 1, 0)[tuple(ijk.T)]
    np.testing.assert_allclose(voxels, expected, rtol=0, atol=tolerance)


def test_slicers_own_reader_finds_the_same_voxels_at_the_same_place(logic: Any, tmp_path: Path) -> None:
    t2w, adc = add(tmp_path, "t2w"), add(tmp_path, "adc", voxels=np.arange(720).reshape(SHAPE).astype(np.int16))
    turn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, :3] = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    matrix[:3, 3] = 5, -7, 11
    turn.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    t2w[0].SetAndObserveTransformNodeID(turn.GetID())
    series = logic.exportDicom([*t2w, *adc], tmp_path / "dicom")
    assert series[0].parent == series[1].parent  # one study
    assert_same(read_by_slicer(series[0]), t2w[0], tolerance=1 / 65535)
    assert_same(read_by_slicer(series[1]), adc[0], tolerance=0)


def test_script_and_library_give_the_same_series(logic: Any, tmp_path: Path) -> None:
    (volume,) = add(tmp_path, "t2w")
    (by_script,) = logic.exportDicom(volume, str(tmp_path / "a"))
    saved = SyntheticVolume.load(next(tmp_path.glob("*.nii")))
    (by_library,) = export_dicom([saved.dicom_source()], tmp_path / "b")
    assert by_script.relative_to(tmp_path / "a") == by_library.relative_to(tmp_path / "b")
    for one, other in zip(sorted(by_script.iterdir()), sorted(by_library.iterdir()), strict=True):
        assert pydicom.dcmread(one).SOPInstanceUID == pydicom.dcmread(other).SOPInstanceUID


def test_slicers_dialog_offers_it_first_and_takes_no_patient_from_the_tree(logic: Any, tmp_path: Path) -> None:
    from slicer_bench.dicom_lib import ExportDialog

    volumes = add(tmp_path, "t2w", "adc")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Example^Patient")
    study = hierarchy.CreateStudyItem(patient, "20200101")
    for volume in volumes:
        hierarchy.SetItemParent(item_of(volume), study)
    dialog = ExportDialog([item_of(volume) for volume in volumes])
    assert [offer[0].pluginClass for offer in dialog.offers] == [
        "CCELLAGeneratorDICOMPlugin",
        "DICOMScalarVolumePlugin",
    ]
    folder = tmp_path / "dicom"
    for _ in range(2):  # pressed twice, the same files
        assert dialog.export(str(folder)) == ""
    files = sorted(folder.rglob("*.dcm"))
    assert len(files) == 2 * SHAPE[2] and {pydicom.dcmread(file).Modality for file in files} == {"MR"}
    assert not any(b"Example" in file.read_bytes() or b"20200101" in file.read_bytes() for file in files)


def test_real_scans_are_not_offered_and_a_fault_is_a_sentence(logic: Any, tmp_path: Path) -> None:
    from slicer_bench.dicom_lib import ExportDialog

    real = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6)), np.eye(4), "T2 of a patient")
    assert [offer[0].pluginClass for offer in ExportDialog([item_of(real)]).offers] == ["DICOMScalarVolumePlugin"]
    (volume,) = add(tmp_path, "t2w")
    slicer.util.arrayFromVolume(volume)[0, 0, 0] = np.nan
    message = ExportDialog([item_of(volume)]).export(str(tmp_path / "dicom"))
    assert "1 voxels of SYNTHETIC t2w seed 7 (tiny) are NaN or infinite" in message and "\n" not in message
    assert not (tmp_path / "dicom").exists()


def test_what_cannot_be_exported_is_refused_before_anything_is_written(logic: Any, tmp_path: Path) -> None:
    from CCELLAGeneratorLib.client.errors import ClientError

    (good,) = add(tmp_path, "t2w")
    real = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6)), np.eye(4), "T2 of a patient")
    named = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6)), np.eye(4), "SYNTHETIC by its name alone")
    (warped, unreadable) = add(tmp_path, "adc", "hbv", seed=9)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    transform.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    warped.SetAndObserveTransformNodeID(transform.GetID())
    unreadable.GetNodeReference("CCELLA.Provenance").SetText("{")
    for bad, words in (
        (real, "T2 of a patient is not a synthetic volume that says how it was made"),
        (named, "is not a synthetic volume that says how it was made"),
        (warped, "under a transform that warps it"),
        (unreadable, "provenance of .* cannot be read"),
        ("a name", "given as a node of the scene, not as 'a'"),
    ):
        with pytest.raises(ClientError, match=words) as raised:
            logic.exportDicom([good, bad] if bad != "a name" else bad, tmp_path / "dicom")
        assert raised.value.code == "input"
    assert not (tmp_path / "dicom").exists()
    logic.exportDicom([good], tmp_path / "dicom")
    with pytest.raises(ClientError, match="exists already"):
        logic.exportDicom([good], tmp_path / "dicom")
    assert logic.exportDicom([good], tmp_path / "dicom", overwrite=True)


def test_the_offer_ends_with_the_module(logic: Any, slicer_bench: Any) -> None:
    assert "CCELLAGeneratorDICOMPlugin" in slicer.modules.dicomPlugins
    slicer_bench.unload_module()
    assert "CCELLAGeneratorDICOMPlugin" not in slicer.modules.dicomPlugins
