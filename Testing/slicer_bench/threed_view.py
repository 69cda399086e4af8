# ruff: noqa: N801, N802 - named as Slicer names it
"""3-D views: Slicer's own displayable managers. Each has a camera node in the scene from the start, as in Slicer."""

from __future__ import annotations

from typing import Any

import slicer

from .view import View

THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLVolumeRenderingDisplayableManager",
)


class qMRMLThreeDView(View):
    """``threeDWidget.threeDView()``."""

    def mrmlViewNode(self) -> Any:
        return self._node

    def resetCamera(self) -> None:
        self.renderWindow()
        self._renderer.ResetCamera()

    def _fill(self, renderer: Any) -> None:
        self._manage(slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), THREE_D_MANAGERS)


class qMRMLThreeDWidget:
    """``layoutManager.threeDWidget(index)``. Its camera node is in the scene from the start, as in Slicer."""

    def __init__(self, node: Any, application_logic: Any) -> None:
        self._view = qMRMLThreeDView(node, application_logic)
        camera = slicer.vtkMRMLCameraNode()
        camera.SetLayoutName(node.GetLayoutName())
        camera.SetHideFromEditors(False)
        if application_logic.GetModuleLogic("Cameras").GetViewActiveCameraNode(node) is None:
            node.GetScene().AddNode(camera)

    def threeDView(self) -> qMRMLThreeDView:
        return self._view

    def mrmlViewNode(self) -> Any:
        return self._view.mrmlViewNode()

    def view(self) -> View:
        return self._view

    def close(self) -> None:
        self._view.close()
