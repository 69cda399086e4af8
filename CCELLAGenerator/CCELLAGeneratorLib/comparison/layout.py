"""The layout that shows a synthetic volume above a real scan: three planes each, a 3-D view and a histogram."""

from __future__ import annotations

from xml.sax.saxutils import escape

import slicer
from slicer.i18n import tr as _

# Slicer numbers its own layouts below 1000 and asks others to stay clear of them; this is the paper's arXiv number.
LAYOUT_ID = 250610230
# Linked views move together within a group; Slicer's own are in group 0 and stay where they are.
VIEW_GROUP = 2506

# Slicer's own colour of each plane, so that orientation is recognised at a glance.
PLANE_COLOURS = {"Axial": "#F34A33", "Sagittal": "#EDD54C", "Coronal": "#6EB04B"}
PLANES = tuple(PLANE_COLOURS)

SYNTHETIC_VIEWS = {plane: f"CCELLA_Synthetic{plane}" for plane in PLANES}
REAL_VIEWS = {plane: f"CCELLA_Real{plane}" for plane in PLANES}
THREE_D_VIEW = "CCELLA_3D"
PLOT_VIEW = "CCELLA_Histogram"

# Orange and blue: colour-blind eyes tell them apart as well.
SYNTHETIC_COLOUR = (0.90, 0.62, 0.0)
REAL_COLOUR = (0.34, 0.71, 0.91)


def real_name() -> str:
    """What the real scan is called where the other is NAME_PREFIX, in the user's language."""
    return _("Real")


def show_layout(layout_node: slicer.vtkMRMLLayoutNode) -> None:
    """Switch to the comparison, and make it known to Slicer first if it is not yet."""
    if not layout_node.IsLayoutDescription(LAYOUT_ID):
        layout_node.AddLayoutDescription(LAYOUT_ID, layout_description())
    layout_node.SetViewArrangement(LAYOUT_ID)


def layout_description() -> str:
    """The layout in the XML that vtkMRMLLayoutNode reads."""
    # In views narrower than some 360 pixels Slicer shows no more of a label than has the width of "XX".
    rows = _split("vertical", [_row(SYNTHETIC_VIEWS, _("S")), _row(REAL_VIEWS, _("R"))])
    side = _split(
        "vertical",
        [_view("vtkMRMLViewNode", THREE_D_VIEW, _("3D")), _view("vtkMRMLPlotViewNode", PLOT_VIEW, _("H"))],
    )
    return _split("horizontal", [rows, side], sizes=[750, 250])


def _row(names: dict[str, str], label: str) -> str:
    views = [
        _view("vtkMRMLSliceNode", names[plane], label, orientation=plane, viewcolor=colour)
        for plane, colour in PLANE_COLOURS.items()
    ]
    return _split("horizontal", views)


def _view(node_class: str, name: str, label: str, **properties: str) -> str:
    properties = {"viewlabel": label, "viewgroup": str(VIEW_GROUP), **properties}
    content = "".join(
        f'<property name="{key}" action="default">{escape(value)}</property>' for key, value in properties.items()
    )
    return f'<view class="{node_class}" singletontag="{name}">{content}</view>'


def _split(direction: str, parts: list[str], sizes: list[int] | None = None) -> str:
    sizes = sizes or [1000 // len(parts)] * len(parts)
    items = "".join(f'<item splitSize="{size}">{part}</item>' for size, part in zip(sizes, parts, strict=True))
    return f'<layout type="{direction}" split="true">{items}</layout>'
