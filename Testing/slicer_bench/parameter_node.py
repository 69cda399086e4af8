# ruff: noqa: N802, N803, N815 - named as Slicer names it
"""``from slicer.parameterNodeWrapper import …``: typed fields over a vtkMRMLScriptedModuleNode, bound to widgets.

Everything lives in the node, so it is saved and restored with the scene. Missing parameters get their defaults when a
wrapper is made. ``connectGui(ui)`` binds the widgets whose dynamic property ``SlicerParameterName`` names a parameter
and, as in Slicer, returns None; ``connectParametersToGui({name: widget})`` returns the tag that ``disconnectGui``
takes.
"""

from __future__ import annotations

import typing
from typing import Any

import slicer
import vtk

from .gui_connectors import GuiConnector, createGuiConnector, parameterNodeGuiConnector
from .parameter_types import Choice, Decimals, Default, Maximum, Minimum, Parameter, SingleStep, Validator, WithinRange

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "GuiConnector",
    "Maximum",
    "Minimum",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "createGuiConnector",
    "isParameterNodeWrapper",
    "parameterNodeGuiConnector",
    "parameterNodeWrapper",
]
SlicerParameterNamePropertyName = "SlicerParameterName"


class Wrapper:
    """What every wrapper class can do. Nothing but its parameters may be set on it."""

    allParameters: typing.ClassVar[dict[str, Parameter]] = {}

    def __init__(self, parameterNode: Any) -> None:
        self.__dict__.update(parameterNode=parameterNode, _connectors={}, _next_tag=0, _updating=False)
        for parameter in self.allParameters.values():
            if not parameter.is_in(parameterNode):
                parameter.write(parameterNode, parameter.default)

    def __setattr__(self, name: str, value: Any) -> None:
        self.setValue(name, value)

    def getValue(self, name: str) -> Any:
        return self._parameter(name).read(self.parameterNode)

    def setValue(self, name: str, value: Any) -> None:
        self._parameter(name).write(self.parameterNode, value)

    def default(self, name: str) -> Default:
        return Default(self._parameter(name).default)

    @classmethod
    def dataType(cls, name: str) -> Any:
        return cls._parameter(name).annotated

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, was: int) -> int:
        return self.parameterNode.EndModify(was)

    def AddObserver(self, event: int, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    def connectGui(self, gui: Any) -> None:
        """Bind the children of a widget, or the widgets that are attributes of an object."""
        widgets = slicer.util.findChildren(gui) if hasattr(gui, "isWidgetType") else gui.__dict__.values()
        named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets}
        self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        """Show the parameters in their widgets and take over what the user sets; ValueError for an unknown name."""
        types = {name: self.dataType(name) for name in mapping}
        connectors = {
            name: given if isinstance(given, GuiConnector) else createGuiConnector(given, types[name])
            for name, given in mapping.items()
        }
        tag = self._next_tag
        self.__dict__["_next_tag"] = tag + 1
        self._connectors[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(self._taker(name, connector))
        self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._show())
        return tag

    def disconnectGui(self, tag: int) -> None:
        for connector in self._connectors.pop(tag, {}).values():
            connector.onChanged(None)

    @classmethod
    def _parameter(cls, name: str) -> Parameter:
        if name not in cls.allParameters:
            raise ValueError(f"{cls.__name__} has no parameter {name!r}, only {sorted(cls.allParameters)}")
        return cls.allParameters[name]

    def _taker(self, name: str, connector: GuiConnector) -> Any:
        def take() -> None:
            if not self._updating:
                with slicer.util.NodeModify(self):
                    self.setValue(name, connector.read())

        return take

    def _show(self) -> None:
        if self._updating:
            return
        self.__dict__["_updating"] = True
        try:
            with slicer.util.NodeModify(self):
                for connectors in self._connectors.values():
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self.__dict__["_updating"] = False


def parameterNodeWrapper(kind: type) -> type:
    """Class decorator: each annotated field of ``kind`` becomes a parameter."""
    parameters = {
        name: Parameter(name, annotated, getattr(kind, name, None))
        for name, annotated in typing.get_type_hints(kind, include_extras=True).items()
    }
    reserved = [name for name in parameters if hasattr(Wrapper, name)]
    if reserved:
        raise ValueError(f"{reserved[0]!r} is a name of the wrapper itself")
    fields = {name: property(lambda self, name=name: self.getValue(name)) for name in parameters}
    own = {name: value for name, value in vars(kind).items() if name not in ("__dict__", "__weakref__")}
    return type(kind.__name__, (Wrapper,), {**own, **fields, "allParameters": parameters})


def isParameterNodeWrapper(candidate: Any) -> bool:
    return issubclass(candidate if isinstance(candidate, type) else type(candidate), Wrapper)
