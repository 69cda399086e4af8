"""Synthetic volumes of the scene as DICOM series. The library writes them, in Slicer's own Python."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from ..client.command import ensure_core_on_path
from ..client.errors import ClientError
from .geometry import world_from_ijk
from .volumes import PROVENANCE_ROLE, is_synthetic

if TYPE_CHECKING:
    from ccella_core.imaging.dicom.export import DicomSource

PLUGIN_NAME = "CCELLAGeneratorDICOMPlugin"
"""Under which Slicer keeps the plugin of its *Export to DICOM*."""


def export_volumes(
    volumes: Sequence[slicer.vtkMRMLScalarVolumeNode], folder: Path, *, overwrite: bool = False
) -> list[Path]:
    """Write synthetic volumes as DICOM, a series each; the sequences of one examination meet in one study.

    Args:
        volumes: as the views show them, with the linear transforms that they are under.
        folder: takes a folder a study.
        overwrite: replace series that are there.

    Returns:
        The folder of each series.

    Raises:
        ClientError: a volume that cannot be exported, before anything is written; or the disk refuses.
    """
    sources = [_source(volume) for volume in volumes]
    from ccella_core.errors import CCELLAError, SaveError
    from ccella_core.imaging.dicom.export import export_dicom

    try:
        return export_dicom(sources, folder, overwrite=overwrite)
    except ImportError as error:
        raise ClientError("dependency", _("pydicom is missing, so nothing can be exported: it comes with Slicer.")
                          ) from error  # fmt: skip
    except CCELLAError as error:
        raise ClientError("save" if isinstance(error, SaveError) else "input", str(error)) from error


def register() -> None:
    """Offer the export in Slicer's *Export to DICOM*; at ``startupCompleted``. Nothing in a Slicer without DICOM."""
    try:
        from .dicom_plugin import ExportPlugin
    except ImportError:
        return
    if not hasattr(slicer.modules, "dicomPlugins"):
        slicer.modules.dicomPlugins = {}
    slicer.modules.dicomPlugins[PLUGIN_NAME] = ExportPlugin


def unregister() -> None:
    """Take the offer back."""
    getattr(slicer.modules, "dicomPlugins", {}).pop(PLUGIN_NAME, None)


def can_be_exported(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether it is a synthetic volume that says how it was made."""
    is_volume = node is not None and node.IsA("vtkMRMLScalarVolumeNode") and bool(node.GetImageData())
    return is_volume and is_synthetic(node) and node.GetNodeReference(PROVENANCE_ROLE) is not None


def _source(volume: slicer.vtkMRMLScalarVolumeNode) -> DicomSource:
    ensure_core_on_path()
    from ccella_core.imaging.dicom.export import DicomSource

    if not isinstance(volume, slicer.vtkMRMLNode):
        raise ClientError(
            "input", _("A volume is given as a node of the scene, not as {value}.").format(value=repr(volume))
        )
    name = volume.GetName()
    if not can_be_exported(volume):
        raise ClientError(
            "input",
            _("{name} is not a synthetic volume that says how it was made, so it is not exported as one.").format(
                name=name
            ),
            _("Choose a volume that this module generated."),
        )
    transform = volume.GetParentTransformNode()
    if transform is not None and not transform.IsTransformToWorldLinear():
        raise ClientError(
            "input",
            _("{name} is under a transform that warps it.").format(name=name),
            _("Harden the transform first."),
        )
    try:
        sidecar = json.loads(volume.GetNodeReference(PROVENANCE_ROLE).GetText())
        sequence, provenance = sidecar["sequence"], sidecar["provenance"]
    except (TypeError, ValueError, KeyError) as error:
        raise ClientError(
            "input", _("The provenance of {name} cannot be read, so it is not exported.").format(name=name)
        ) from error
    voxels = slicer.util.arrayFromVolume(volume).transpose(2, 1, 0)
    return DicomSource(name, voxels, world_from_ijk(volume), sequence, provenance)
