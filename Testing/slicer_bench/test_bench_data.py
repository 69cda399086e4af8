"""Files in and out of the scene, samples, and what is installed."""

import hashlib
import importlib
import subprocess

import numpy as np
import pytest
import slicer

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


@pytest.fixture
def volume_file(tmp_path):
    import nibabel

    path = tmp_path / "größe" / "scan.nii"
    path.parent.mkdir()
    nibabel.save(nibabel.Nifti1Image(VOXELS.T, np.diag([0.5, 0.5, 3, 1])), path)
    return path


@pytest.mark.medium
def test_a_scene_is_saved_with_its_data_and_loaded(slicer_bench, tmp_path):
    volume = slicer.util.addVolumeFromArray(VOXELS, name="SYNTHETIC größe")
    volume.SetAttribute("CCELLA.Synthetic", "1")
    text = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "Provenance")
    text.SetText('{"report": "Läsion \\"links\\" <5 mm>"}')
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "SYNTHETIC – CCELLA")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), folder)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))

    slicer.mrmlScene.Clear(False)
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTextNode") is None
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    volume = slicer.util.getNode("SYNTHETIC größe")
    assert np.array_equal(slicer.util.arrayFromVolume(volume), VOXELS)
    assert volume.GetAttribute("CCELLA.Synthetic") == "1"
    assert slicer.util.getNode("Provenance").GetText() == '{"report": "Läsion \\"links\\" <5 mm>"}'
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(volume))
    assert hierarchy.GetItemName(parent) == "SYNTHETIC – CCELLA"


def test_a_volume_is_loaded_by_slicer(slicer_bench, volume_file):
    volume = slicer.util.loadVolume(str(volume_file), {"name": "T2", "show": False})
    assert (volume.GetName(), volume.GetSpacing()) == ("T2", (0.5, 0.5, 3.0))
    assert np.array_equal(slicer.util.arrayFromVolume(volume), VOXELS)
    assert slicer.app.applicationLogic().GetSelectionNode().GetActiveVolumeID() is None
    with pytest.raises(RuntimeError, match="Failed to load"):
        slicer.util.loadVolume(str(volume_file.parent / "none.nii"))
    with pytest.raises(AttributeError, match="centred"):
        slicer.util.loadVolume(str(volume_file), {"centred": True})


def test_a_sample_is_registered_once_checked_and_loaded(slicer_bench, volume_file):
    import SampleData

    digest = hashlib.sha256(volume_file.read_bytes()).hexdigest()
    sample = {
        "category": "CCELLA", "sampleName": "Sample", "uris": volume_file.as_uri(), "fileNames": "sample.nii",
        "nodeNames": "SYNTHETIC sample", "checksums": f"SHA256:{digest}",
    }  # fmt: skip
    for _ in range(2):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(**sample)
    assert len(slicer.modules.sampleDataSources["CCELLA"]) == 1
    assert SampleData.downloadSample("Sample").GetName() == "SYNTHETIC sample"
    wrong = sample | {"sampleName": "Wrong", "checksums": "SHA256:" + 64 * "0"}
    SampleData.SampleDataLogic.registerCustomSampleDataSource(**wrong)
    with pytest.raises(OSError, match="checksum"):
        SampleData.SampleDataLogic().downloadSample("Wrong")
    with pytest.raises(ValueError, match="checksum"):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(**sample | {"checksums": None})


def test_missing_packages_are_installed_after_a_yes(slicer_bench, tmp_path):
    import slicer.packaging

    file = tmp_path / "requirements.txt"
    file.write_text("# heavy\nmonai>=1.5\n\nscipy>=1.11\n", encoding="utf-8")
    requirements = slicer.packaging.load_requirements(file)
    slicer_bench.installer.missing = {"monai"}
    slicer_bench.answer(False, True)
    with pytest.raises(RuntimeError, match="declined"):
        slicer.packaging.pip_ensure(requirements, requester="CCELLA")
    assert slicer_bench.installer.asked_for == []
    slicer.packaging.pip_ensure(requirements, requester="CCELLA")
    assert slicer_bench.installer.asked_for == ["monai>=1.5"]
    assert slicer.packaging.pip_check(requirements)


def test_installing_can_fail(slicer_bench):
    import slicer.packaging

    slicer_bench.installer.missing, slicer_bench.installer.works = {"monai"}, False
    with pytest.raises(RuntimeError):
        slicer.packaging.pip_ensure("monai", prompt_install=False)
    assert [message.kind for message in slicer_bench.messages] == ["critical"]  # it says so itself
    with pytest.raises(subprocess.CalledProcessError):
        slicer.packaging.pip_install("monai")
    assert not slicer.packaging.pip_check("monai")


def test_pytorch_comes_with_its_extension(slicer_bench):
    with pytest.raises(ImportError):
        import PyTorchUtils
    model = slicer.app.extensionsManagerModel()
    assert not model.isExtensionInstalled("PyTorch")
    model.interactive = False
    assert model.installExtensionFromServer("PyTorch")
    slicer_bench.add_pytorch_extension()
    slicer_bench.installer.torch_is_missing = True
    slicer_bench.answer(False, True)
    import PyTorchUtils

    logic = PyTorchUtils.PyTorchUtilsLogic()
    assert logic.installTorch(askConfirmation=True) is None
    assert not logic.torchInstalled()
    assert logic.installTorch(askConfirmation=True).__name__ == "torch"
    assert logic.torchInstalled()
    assert slicer_bench.installer.asked_for == ["extension PyTorch", "torch"]


def test_an_older_slicer_has_no_packaging(slicer_bench):
    slicer_bench.be_slicer_before_packaging()
    with pytest.raises(ImportError):
        importlib.import_module("slicer.packaging")
    assert not hasattr(slicer, "packaging")
