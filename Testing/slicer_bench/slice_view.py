# ruff: noqa: N801, N802 - named as Slicer names it
"""Slice views: Slicer's own slice logic and displayable managers.

What Slicer's Qt part does is done here: the slice image is put under the displayable managers, as CTK's light box does.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from .view import View

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
)


class qMRMLSliceView(View):
    """``sliceWidget.sliceView()``."""

    def __init__(self, logic: Any, application_logic: Any) -> None:
        super().__init__(logic.GetSliceNode(), application_logic)
        self._logic = logic
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(self._mapper)

    def mrmlSliceNode(self) -> Any:
        return self._node

    def resize(self, width: int, height: int) -> None:
        super().resize(width, height)
        self._logic.ResizeSliceNode(width, height)

    def _fill(self, renderer: Any) -> None:
        renderer.AddViewProp(self._image)
        self._manage(slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(), SLICE_MANAGERS)
        self._logic.SetDisplayableManagerGroup(self._group)

    def _before_render(self) -> None:
        connection = self._logic.GetImageDataConnection()
        self._image.SetVisibility(connection is not None)
        self._mapper.SetInputConnection(connection)
        self._renderer.SetBackground(self._node.GetBackgroundColor())


class qMRMLSliceWidget:
    """``layoutManager.sliceWidget(name)``."""

    def __init__(self, node: Any, application_logic: Any) -> None:
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(node.GetScene())
        self._logic.SetSliceNode(node)
        application_logic.GetSliceLogics().AddItem(self._logic)
        self._application_logic = application_logic
        self._view = qMRMLSliceView(self._logic, application_logic)

    def sliceView(self) -> qMRMLSliceView:
        return self._view

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()

    def view(self) -> View:
        return self._view

    def close(self) -> None:
        self._view.close()
        self._application_logic.GetSliceLogics().RemoveItem(self._logic)
        self._logic.SetMRMLScene(None)
