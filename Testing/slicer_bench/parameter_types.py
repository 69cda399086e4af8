"""What ``@parameterNodeWrapper`` knows of a field's type: how it is stored in a parameter node, and what is allowed.

Stored as Slicer stores it, so that a scene saved by one is read by the other: numbers, texts and paths as text,
booleans as "True" and "False", enumerations by name, nodes as a reference of the parameter's name. Types that the
extension does not use (lists, dictionaries, unions, parameter packs) are refused.
"""

from __future__ import annotations

import enum
import pathlib
import typing
from dataclasses import dataclass
from typing import Any

import slicer

PATHS = (pathlib.Path, pathlib.PurePath)


class Validator:
    """An annotation that refuses values; derived classes have ``validate(value)``, which raises ValueError."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError


@dataclass
class WithinRange(Validator):
    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within [{self.minimum}, {self.maximum}]")


@dataclass
class Minimum(Validator):
    minimum: float

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"{value} is below {self.minimum}")


@dataclass
class Maximum(Validator):
    maximum: float

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"{value} is above {self.maximum}")


@dataclass
class Choice(Validator):
    choices: list

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}")


@dataclass
class Default:
    """Annotation: the value of a parameter that nobody set."""

    value: Any


@dataclass
class Decimals:
    """Annotation: the digits that a widget shows."""

    value: int


@dataclass
class SingleStep:
    """Annotation: the step of a widget's arrows."""

    value: float


class Parameter:
    """One field: its name, its type without annotations, its annotations and default."""

    def __init__(self, name: str, annotated: Any, default: Any = None) -> None:
        self.name = name
        self.annotated = annotated
        self.kind, *annotations = typing.get_args(annotated) if hasattr(annotated, "__metadata__") else (annotated,)
        self.annotations = annotations
        self.is_node = isinstance(self.kind, type) and issubclass(self.kind, slicer.vtkMRMLNode)
        self._is_enum = isinstance(self.kind, type) and issubclass(self.kind, enum.Enum)
        if not (self.is_node or self._is_enum or self.kind in (int, float, str, bool, *PATHS)):
            raise TypeError(f"parameter {name!r}: the bench does not know the type {self.kind}")
        unknown = [each for each in annotations if not isinstance(each, (Validator, Default, Decimals, SingleStep))]
        if unknown:
            raise TypeError(f"parameter {name!r}: unknown annotation {unknown[0]!r}")
        self.default = self._default() if default is None else default

    def find(self, kind: type) -> Any:
        """The first annotation of this kind, or None."""
        return next((each for each in self.annotations if isinstance(each, kind)), None)

    def is_in(self, node: Any) -> bool:
        return bool(node.HasParameter(self.name))

    def write(self, node: Any, value: Any) -> None:
        """TypeError or ValueError when ``value`` is not allowed; nothing is written then."""
        self._check(value)
        if self.is_node:
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        else:
            node.SetParameter(self.name, value.name if self._is_enum else str(value))

    def read(self, node: Any) -> Any:
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self._is_enum:
            return self.kind[text]
        return text == "True" if self.kind is bool else self.kind(text)

    def _check(self, value: Any) -> None:
        if value is None and self.is_node:
            return
        allowed = (int, float) if self.kind is float else self.kind
        if not isinstance(value, allowed):
            raise TypeError(f"parameter {self.name!r} is a {self.kind.__name__}, not {value!r}")
        for validator in self.annotations:
            if isinstance(validator, Validator):
                validator.validate(value)

    def _default(self) -> Any:
        given = self.find(Default)
        if given is not None:
            return given.value
        if self.is_node:
            return None
        return next(iter(self.kind)) if self._is_enum else self.kind()
