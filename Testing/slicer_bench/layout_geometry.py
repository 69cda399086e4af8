"""Where the views of a layout lie, from the XML that Slicer's layout node holds."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

SPACING = 2  # pixels between two views


@dataclass(frozen=True)
class Place:
    """A view's rectangle in pixels, from the top left."""

    kind: str  # "vtkMRMLSliceNode", "vtkMRMLViewNode", "vtkMRMLPlotViewNode"
    name: str  # the singleton tag
    left: int
    top: int
    width: int
    height: int


def places(description: str, width: int, height: int) -> list[Place]:
    """The views in the layout's order. AttributeError for kinds of layout that the bench does not know."""
    return _place(ElementTree.fromstring(description), 0, 0, width, height)


def _place(element: ElementTree.Element, left: int, top: int, width: int, height: int) -> list[Place]:
    if element.tag == "view":
        if element.get("singletontag") is None:
            raise AttributeError("the bench knows views with a singleton tag only")
        return [Place(element.get("class"), element.get("singletontag"), left, top, width, height)]
    items, kind = list(element), element.get("type")
    if kind == "tab":
        return _place(items[0][0], left, top, width, height)
    if kind not in ("horizontal", "vertical"):
        raise AttributeError(f"the bench does not know a layout of type {kind!r}")
    whole = width if kind == "horizontal" else height
    found, position = [], 0
    for item, length in zip(items, _lengths(items, whole), strict=True):
        if kind == "horizontal":
            found += _place(item[0], left + position, top, length, height)
        else:
            found += _place(item[0], left, top + position, width, length)
        position += length + SPACING
    return found


def _lengths(items: list[ElementTree.Element], whole: int) -> list[int]:
    """Shares of ``whole`` by the items' ``splitSize``, or equal ones."""
    sizes = [float(item.get("splitSize", 0)) for item in items]
    if not all(sizes):
        sizes = [1.0] * len(items)
    free = whole - SPACING * (len(items) - 1)
    return [round(free * size / sum(sizes)) for size in sizes]
