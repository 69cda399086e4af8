"""The layout that shows a synthetic volume above a real scan: three planes each, a 3-D view and a histogram."""

from __future__ import annotations

from xml.sax.saxutils import escape

import slicer
from slicer.i18n import tr as _

from ..scene.sequences import SEQUENCES

# Slicer numbers its own layouts below 1000 and asks others to stay clear of them; this is the paper's arXiv number.
LAYOUT_ID = 250610230
COLUMNS_IDS = {rows: LAYOUT_ID + place for place, rows in enumerate((("S",), ("R",), ("S", "R")), start=1)}
"""Of the layouts with a column a sequence, by their rows."""
STUDY_IDS = {pairs: LAYOUT_ID + 4 + pairs for pairs in (False, True)}
"""Of a reader study, by whether pairs are shown."""
OWN_LAYOUTS = (LAYOUT_ID, *COLUMNS_IDS.values(), *STUDY_IDS.values())
# Linked views move together within a group; Slicer's own are in group 0 and stay where they are.
VIEW_GROUP = 2506

# Slicer's own colour of each plane, so that orientation is recognised at a glance.
PLANE_COLOURS = {"Axial": "#F34A33", "Sagittal": "#EDD54C", "Coronal": "#6EB04B"}
PLANES = tuple(PLANE_COLOURS)
COLUMN_COLOURS = ("#9AA5B1", "#7FB0C8", "#C8A27F")
"""Of T2, ADC and high b, which are all axial."""

SYNTHETIC_VIEWS = {plane: f"CCELLA_Synthetic{plane}" for plane in PLANES}
REAL_VIEWS = {plane: f"CCELLA_Real{plane}" for plane in PLANES}
SYNTHETIC_COLUMNS = {sequence: f"CCELLA_Synthetic_{sequence}" for sequence in SEQUENCES}
REAL_COLUMNS = {sequence: f"CCELLA_Real_{sequence}" for sequence in SEQUENCES}
SINGLE_VIEWS = {plane: f"CCELLA_Study{plane}" for plane in PLANES}
PAIR_VIEWS = ("CCELLA_StudyLeft", "CCELLA_StudyRight")
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


def show_columns(layout_node: slicer.vtkMRMLLayoutNode, *, with_synthetic: bool, with_real: bool) -> None:
    """Switch to a column a sequence, with a row of the synthetic examination, of the real one, or of both."""
    rows = {"S": (SYNTHETIC_COLUMNS, _("S")), "R": (REAL_COLUMNS, _("R"))}
    shown = tuple(name for name, wanted in (("S", with_synthetic), ("R", with_real)) if wanted)
    layout = COLUMNS_IDS[shown]
    if not layout_node.IsLayoutDescription(layout):
        description = _split("vertical", [_columns(*rows[name]) for name in shown])
        layout_node.AddLayoutDescription(layout, description)
    layout_node.SetViewArrangement(layout)


def show_study(layout_node: slicer.vtkMRMLLayoutNode, *, pairs: bool) -> None:
    """Switch to one volume, its axial plane the largest, or to the axial planes of two."""
    layout = STUDY_IDS[pairs]
    if not layout_node.IsLayoutDescription(layout):
        layout_node.AddLayoutDescription(layout, _pair() if pairs else _single())
    layout_node.SetViewArrangement(layout)


def _pair() -> str:
    colour = PLANE_COLOURS["Axial"]
    return _split(
        "horizontal",
        [
            _view("vtkMRMLSliceNode", name, label, orientation="Axial", viewcolor=colour)
            for name, label in zip(PAIR_VIEWS, (_("L"), _("R")), strict=True)
        ],
    )


def _single() -> str:
    axial, *others = (
        _view("vtkMRMLSliceNode", SINGLE_VIEWS[plane], plane[0], orientation=plane, viewcolor=colour)
        for plane, colour in PLANE_COLOURS.items()
    )
    return _split("horizontal", [axial, _split("vertical", others)], sizes=[650, 350])


def _columns(names: dict[str, str], label: str) -> str:
    views = [
        _view("vtkMRMLSliceNode", names[sequence], label, orientation="Axial", viewcolor=colour)
        for sequence, colour in zip(SEQUENCES, COLUMN_COLOURS, strict=True)
    ]
    return _split("horizontal", views)


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
