# ruff: noqa: N802 - named as Slicer names it
"""A view: a render window of its own, filled by Slicer's displayable managers and drawn off-screen.

The window is made when it is first asked for, since that takes a while; logics, composite and camera nodes are there
from the start.
"""

from __future__ import annotations

from typing import Any

import vtk

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
