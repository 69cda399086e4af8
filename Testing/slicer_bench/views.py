# ruff: noqa: N801, N802
"""Slice views and 3-D views: Slicer's own logics and displayable managers, drawn off-screen.

A view makes its render window when it is first asked for it, since that takes a while; the slice logic is there from
the start, as are composite and camera nodes. What Slicer's Qt part does is done here: the slice image is put under the
displayable managers (as CTK's light box does), and the corner annotation above them.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

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
CORNER_TEXT_HEIGHT = 0.07  # of the view's height at most; CTK's own


class View:
    """A render window of a view node, made when it is first asked for."""

    def __init__(self, node: Any, application_logic: Any) -> None:
        self._node = node
        self._application_logic = application_logic
        self._size = (0, 0)
        self._window: Any = None
        self._corner = vtk.vtkCornerAnnotation()
        self._corner.SetMaximumLineHeight(CORNER_TEXT_HEIGHT)
        self._corner.GetTextProperty().ShadowOn()

    def renderWindow(self) -> Any:
        if self._window is None:
            self._window = vtk.vtkRenderWindow()
            self._window.OffScreenRenderingOn()
            self._window.SetMultiSamples(0)
            self._window.SetSize(*self._size)
            self._renderer = vtk.vtkRenderer()
            self._window.AddRenderer(self._renderer)
            self._interactor = vtk.vtkGenericRenderWindowInteractor()
            self._interactor.SetRenderWindow(self._window)
            self._fill(self._renderer)
            self._renderer.AddViewProp(self._corner)
        return self._window

    def cornerAnnotation(self) -> Any:
        return self._corner

    def scheduleRender(self) -> None:
        """Slicer would draw the view when it is idle; here it is drawn for a picture or by ``forceRender``."""

    def forceRender(self) -> None:
        self.renderWindow()
        self._before_render()
        self._window.Render()

    def picture(self) -> Any:
        """The view as vtkImageData of RGB bytes, drawn anew. The bench's own."""
        self.forceRender()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._window)
        grabber.ReadFrontBufferOff()
        grabber.Update()
        return grabber.GetOutput()

    def resize(self, width: int, height: int) -> None:
        self._size = (width, height)
        if self._window is not None:
            self._window.SetSize(width, height)

    def close(self) -> None:
        if self._window is not None:
            self._group.SetMRMLDisplayableNode(None)
            self._window.Finalize()

    def displayableManagerByClassName(self, name: str) -> Any:
        self.renderWindow()
        return self._group.GetDisplayableManagerByClassName(name)

    def _fill(self, renderer: Any) -> None:
        raise NotImplementedError

    def _before_render(self) -> None:
        """What has to be brought up to date, if anything."""

    def _manage(self, factory: Any, managers: tuple[str, ...]) -> None:
        factory.SetMRMLApplicationLogic(self._application_logic)
        for name in managers:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._group = factory.InstantiateDisplayableManagers(self._renderer)
        self._group.SetMRMLDisplayableNode(self._node)


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
