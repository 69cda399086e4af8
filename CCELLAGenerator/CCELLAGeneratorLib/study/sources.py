"""Where a study's volumes come from, the scene or folders, and nodes of them under a name that says nothing."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from ..scene.geometry import world_from_ijk
from ..scene.nodes import in_scene
from ..scene.volumes import NAME_PREFIX, is_synthetic

IN_SCENE = "scene:"
"""Begins the words of a volume of the scene; its ID and name follow. Otherwise they are a file's path."""
ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
LABELS_ENDING = "-labels"
STUDY_ATTRIBUTE = "CCELLA.StudyCase"
"""Marks what a study shows for a while, so that it is not taken for a volume of the scene."""


class SourceError(ValueError):
    """Why a volume cannot be in a study, or cannot be shown, in a sentence for the user."""


def volumes_of_scene() -> tuple[list[str], list[str]]:
    """All scalar volumes of the scene, the synthetic ones and the real ones."""
    nodes = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if node.GetClassName() == "vtkMRMLScalarVolumeNode" and node.GetImageData() is not None
        if node.GetAttribute(STUDY_ATTRIBUTE) is None
    ]
    words = [(is_synthetic(node), f"{IN_SCENE}{node.GetID()} {node.GetName()}") for node in nodes]
    return [each for synthetic, each in words if synthetic], [each for synthetic, each in words if not synthetic]


def images_of_folder(folder: Path, *, synthetic: bool) -> list[str]:
    """The images of a folder, without label maps.

    Raises SourceError where there is none, or a synthetic one is among the real.
    """
    if not folder.is_dir():
        raise SourceError(_("There is no folder {folder}.").format(folder=folder))
    visible = [path for path in folder.iterdir() if not path.name.startswith(".") and _ending(path)]
    images = sorted(path for path in visible if not path.name.endswith(f"{LABELS_ENDING}{_ending(path)}"))
    if not images:
        sentence = _("There are no images in {folder}; {endings} are read.")
        raise SourceError(sentence.format(folder=folder, endings=", ".join(ENDINGS)))
    wrong = [path for path in images if not synthetic and path.name.startswith(NAME_PREFIX)]
    if wrong:
        raise SourceError(_("{path} is synthetic, and lies in the folder of real scans.").format(path=wrong[0]))
    return [str(path.absolute()) for path in images]


def load(words: str, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """A new node of the scene with the volume's voxels and place, which says nothing of where it comes from.

    Raises SourceError where the volume is not there any more.
    """
    volume = slicer.vtkMRMLScalarVolumeNode()
    if words.startswith(IN_SCENE):
        identifier, _space, known_as = words.removeprefix(IN_SCENE).partition(" ")
        node = slicer.mrmlScene.GetNodeByID(identifier)
        if not in_scene(node) or node.GetName() != known_as or node.GetImageData() is None:
            sentence = _("A volume of this study is not in the scene: load the scene that the study was made in.")
            raise SourceError(sentence)
        volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(world_from_ijk(node)))
        volume.SetAndObserveImageData(node.GetImageData())
    else:
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(words)
        storage.SetSingleFile(True)
        if not Path(words).is_file() or not storage.ReadData(volume):
            raise SourceError(_("The file of {name} is missing or cannot be read.").format(name=name))
    volume.SetName(name)
    volume.SetSaveWithScene(False)
    volume.SetAttribute(STUDY_ATTRIBUTE, name)
    return slicer.mrmlScene.AddNode(volume)


def _ending(path: Path) -> str:
    return next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), "")
