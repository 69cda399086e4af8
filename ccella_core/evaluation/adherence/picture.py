"""Pictures of an adherence run: slices side by side, under what was stated and what was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ccella_core.evaluation.adherence.counterfactual import FACT_LABELS
from ccella_core.evaluation.adherence.measurements import MeasuredFinding
from ccella_core.evaluation.adherence.phantom_reader import WINDOW, reader_window
from ccella_core.evaluation.adherence.report import AdherenceCase, is_followed
from ccella_core.evaluation.adherence.scores import StatedFinding
from ccella_core.imaging.orientation import radiological, spacing_of
from ccella_core.phantom.findings import Findings
from ccella_core.phantom.patient import LEVEL_HEIGHT, Patient
from ccella_core.phantom.render import DEFAULT_SPACING
from ccella_core.provenance import SYNTHETIC_LABEL

PAIRS_A_ROW = 4
PAIR_INCHES = (4.0, 2.3)
SUPTITLE_INCHES = 0.5
PAIRS_DOTS_PER_INCH = 100
SMALL, SMALLER = 9, 8  # points
RIGHT_COLOR, WRONG_COLOR = "black", "firebrick"


@dataclass(frozen=True)
class Pair:
    """Two slices [row, column] uint8 of the same size side by side, and the words above them and under each."""

    slices: tuple[np.ndarray, np.ndarray]
    captions: tuple[str, str]
    title: str
    is_right: bool


def lesion_slice(voxels: np.ndarray, affine: np.ndarray, patient: Patient, findings: Findings) -> np.ndarray:
    """uint8 [row, column]: the axial slice at the height where a report of this patient says the lesion lies.

    Radiological convention; the middle of the gland where there is no lesion. On another grid than the phantom's own,
    the gland is taken to be in the middle of the volume, as `ccella prepare` puts it.
    """
    level = LEVEL_HEIGHT[findings.lesions[0].level] if findings.lesions else 0.0
    spacing = spacing_of(affine)
    window, _ = reader_window(voxels, (float(spacing[0]), float(spacing[1]), float(spacing[2])))
    height_mm = level * patient.gland_semi[2]
    if np.allclose(spacing, DEFAULT_SPACING):
        middle_mm = affine[2, 3] + (voxels.shape[2] // 2) * DEFAULT_SPACING[2]
        height_mm += patient.gland_centre[2] - middle_mm
    index = round(height_mm / DEFAULT_SPACING[2]) + WINDOW[2] // 2
    plane = window[:, :, int(np.clip(index, 0, WINDOW[2] - 1))]
    return (np.clip(radiological(plane), 0, 1) * 255).round().astype(np.uint8)


def beside_phantom(case: AdherenceCase, generated: np.ndarray, phantom: np.ndarray) -> Pair:
    """A generated slice with what is seen in it, and the phantom's with what the report says."""
    is_right = case.stated.has_lesion == case.generated.has_lesion and case.stated.side in (None, case.generated.side)
    return Pair((generated, phantom), (_words(case.generated), _words(case.stated)), "", is_right)


def beside_counterfactual(
    own: AdherenceCase, after: AdherenceCase, own_slice: np.ndarray, after_slice: np.ndarray
) -> Pair:
    """Slices generated from a patient's own and from the counterfactual report, with what is seen in each."""
    assert after.changed_fact is not None
    captions = (_words(own.generated), _words(after.generated))
    return Pair((own_slice, after_slice), captions, FACT_LABELS[after.changed_fact], is_followed(own, after))


def draw_pairs(pairs: Sequence[Pair], heading: str) -> Image.Image:
    """At least one pair; its words are red where the volume does not show what was stated."""
    columns = min(PAIRS_A_ROW, len(pairs))
    rows = -(-len(pairs) // columns)
    size = (PAIR_INCHES[0] * columns, PAIR_INCHES[1] * rows + SUPTITLE_INCHES)
    figure = Figure(size, dpi=PAIRS_DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(f"{SYNTHETIC_LABEL}. {heading}; the patient's right is at the left")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, pair in zip(grid, pairs, strict=False):
        color = RIGHT_COLOR if pair.is_right else WRONG_COLOR
        axes.imshow(np.concatenate(pair.slices, axis=1), cmap="gray", vmin=0, vmax=255)
        axes.set_title(pair.title, fontsize=SMALL, color=color)
        for x, words in zip((0.25, 0.75), pair.captions, strict=True):
            axes.text(
                x, -0.03, words, transform=axes.transAxes, fontsize=SMALLER, color=color, ha="center", va="top"
            )  # fmt: skip
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _words(what: StatedFinding | MeasuredFinding) -> str:
    """Two lines: where the lesion is; how large it and the gland are."""
    places = [word for word in (what.side, what.zone, what.level) if word]
    lesion = " ".join(places or ["several lesions"]) if what.has_lesion else "no lesion"
    size = None if what.size_mm is None else f"{what.size_mm:.0f} mm"
    volume = None if what.gland_volume_ml is None else f"gland {what.gland_volume_ml:.0f} ml"
    return f"{lesion}\n{', '.join(each for each in (size, volume) if each)}"
