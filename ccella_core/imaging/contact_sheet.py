"""One picture that shows a synthetic volume: three planes, its axial slices, its report, and that it is synthetic."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image, PngImagePlugin

from ccella_core.errors import InputError, SaveError
from ccella_core.files import whole_file
from ccella_core.imaging.orientation import radiological, spacing_of
from ccella_core.imaging.volume import SyntheticVolume, synthetic_name
from ccella_core.provenance import SYNTHETIC_LABEL

if TYPE_CHECKING:
    from ccella_core.provenance import Provenance

MIN_WIDTH, MAX_WIDTH = 400, 8000
BACKGROUND, INK, FAINT, WARNING, LETTER = "#0e1116", "#e8eaed", "#9aa4ae", "#ff6a3d", "#ffd479"
DISPLAYED_PERCENTILES = (0.5, 99.5)  # the window: a few bright voxels must not darken the rest
SLICES_PER_ROW, SLICE_ROWS = 6, 2

# Lengths as fractions of the width of the sheet, so that every width gives the same picture.
MARGIN, GAP, HEADER = 0.02, 0.012, 0.055
TITLE_SIZE, TEXT_SIZE, LETTER_SIZE, NOTE_SIZE = 0.0225, 0.0125, 0.0115, 0.0095
TITLE_CHARACTERS = 45  # that have room beside the model's name; longer titles are smaller
LINE_HEIGHT = 1.35  # of the text size
CHARACTER_WIDTH = 0.56  # of the text size: the mean of DejaVu Sans, a little generous
LEAST_TEXT_HEIGHT = 0.14
OUTLINE = (withStroke(linewidth=2.5, foreground=BACKGROUND),)  # keeps words readable on bright tissue
DESCRIPTION = "Description"  # PNG's own keyword for what a picture shows
DOTS_PER_INCH = 100
POINTS_PER_INCH = 72


class _Sheet:
    """A figure addressed in fractions of its width, from the top left corner."""

    def __init__(self, width: int, height: float) -> None:
        self.width, self.height = width, height
        pixels = (width, round(height * width))
        self.figure = Figure(
            (pixels[0] / DOTS_PER_INCH, pixels[1] / DOTS_PER_INCH), dpi=DOTS_PER_INCH, facecolor=BACKGROUND
        )
        self.canvas = FigureCanvasAgg(self.figure)

    def text(self, x: float, y: float, words: str, size: float, color: str = INK, **style: Any) -> None:
        # Reports may hold dollar signs, which are not mathematics.
        points = size * self.width * POINTS_PER_INCH / DOTS_PER_INCH
        self.figure.text(
            x, 1 - y / self.height, words, fontsize=points, color=color, va="top", parse_math=False,
            linespacing=LINE_HEIGHT, path_effects=OUTLINE, **style,
        )  # fmt: skip

    def picture(self, x: float, y: float, size: tuple[float, float], pixels: np.ndarray, window: np.ndarray) -> Axes:
        """Draw ``pixels`` [row, column] stretched to ``size`` (width, height)."""
        box = (x, 1 - (y + size[1]) / self.height, size[0], size[1] / self.height)
        axes = self.figure.add_axes(box)
        axes.imshow(pixels, cmap="gray", vmin=window[0], vmax=window[1], aspect="auto", interpolation="bicubic")
        axes.set_axis_off()
        return axes

    def image(self) -> Image.Image:
        self.canvas.draw()
        return Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3].copy())


def draw_contact_sheet(volume: SyntheticVolume, *, width: int = 1600) -> Image.Image:
    """RGB picture ``width`` pixels wide (400 to 8000), in millimetres true to scale and radiological convention.

    The patient's right is at the left of axial and coronal planes, anterior and superior are up; the sagittal plane
    looks from the patient's left, anterior at the left. An oblique volume is shown along its own nearest axes.
    """
    if not MIN_WIDTH <= width <= MAX_WIDTH:
        raise InputError(f"A contact sheet is {MIN_WIDTH} to {MAX_WIDTH} pixels wide, not {width}.")
    upright = nib.as_closest_canonical(nib.Nifti1Image(volume.voxels, volume.affine))
    voxels = np.nan_to_num(np.asarray(upright.dataobj), posinf=0, neginf=0)
    window = np.percentile(voxels, DISPLAYED_PERCENTILES)
    right, anterior, superior = np.array(voxels.shape) * spacing_of(upright.affine)

    inner = 1 - 2 * MARGIN
    scale = (inner - 2 * GAP) / (2 * right + anterior)  # of the three planes side by side, per mm
    planes_height = max(scale * anterior, scale * superior + LEAST_TEXT_HEIGHT)  # the text stands under two of them
    tile_width = (inner - (SLICES_PER_ROW - 1) * GAP) / SLICES_PER_ROW
    tile = (tile_width, tile_width * anterior / right)
    slices = _evenly_chosen(voxels.shape[2], SLICES_PER_ROW * SLICE_ROWS)
    rows = -(-len(slices) // SLICES_PER_ROW)
    tiles_top = HEADER + planes_height + 2 * GAP
    sheet = _Sheet(width, tiles_top + rows * (tile[1] + GAP) - GAP + MARGIN)

    label = volume.provenance.label
    title_size = TITLE_SIZE * min(1, TITLE_CHARACTERS / len(label))
    sheet.text(MARGIN, MARGIN * 0.8, label, title_size, WARNING, weight="bold")
    made_by = f"{volume.provenance.model_name} {volume.provenance.model_version}"
    sheet.text(1 - MARGIN, MARGIN, f"{volume.sequence.upper()}  ·  {made_by}", TEXT_SIZE, FAINT, ha="right")

    x, y, z = (size // 2 for size in voxels.shape)
    column = MARGIN
    for plane, size, letters in (
        (voxels[:, :, z], (right, anterior), "RLAP"),
        (voxels[:, y, :], (right, superior), "RLSI"),
        (voxels[x, :, :], (anterior, superior), "APSI"),
    ):
        box = (scale * size[0], scale * size[1])
        _letter(sheet.picture(column, HEADER, box, radiological(plane), window), letters, width)
        column += box[0] + GAP

    text_left = MARGIN + scale * right + GAP
    text_top = HEADER + scale * superior + GAP
    _write_report(sheet, volume.provenance, text_left, text_top, HEADER + planes_height - text_top)

    for number, index in enumerate(slices):
        row, place = divmod(number, SLICES_PER_ROW)
        corner = (MARGIN + place * (tile[0] + GAP), tiles_top + row * (tile[1] + GAP))
        sheet.picture(*corner, tile, radiological(voxels[:, :, index]), window)
        sheet.text(corner[0] + GAP / 2, corner[1] + GAP / 2, f"{index + 1}", NOTE_SIZE)
    picture = sheet.image()
    picture.info[DESCRIPTION] = label
    return picture


def save_contact_sheet(sheet: Image.Image, path: Path) -> Path:
    """Write the picture as PNG, with the label in its metadata, under a name that begins with ``SYNTHETIC``."""
    path = synthetic_name(path)
    if path.suffix.lower() != ".png":
        raise InputError(f"A contact sheet is saved as .png, not {path.suffix or 'without extension'}.")
    label = PngImagePlugin.PngInfo()
    label.add_text(DESCRIPTION, sheet.info.get(DESCRIPTION, SYNTHETIC_LABEL))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, private=True) as temporary:  # the picture shows the report
            sheet.save(temporary, "PNG", pnginfo=label)
    except OSError as error:
        raise SaveError(f"Could not save {path}: {error}. Free disk space or choose another folder.") from error
    return path


def _evenly_chosen(count: int, wanted: int) -> list[int]:
    """Indices of up to ``wanted`` slices, from the lowest up; the outermost, often empty, are passed over."""
    if count <= wanted:
        return list(range(count))
    return np.floor((np.arange(wanted) + 0.5) * count / wanted).astype(int).tolist()


def _letter(axes: Axes, letters: str, width: int) -> None:
    """Write left, right, top and bottom letters inside the edges of a plane."""
    points = LETTER_SIZE * width * POINTS_PER_INCH / DOTS_PER_INCH
    places = ((0.015, 0.5, "left", "center"), (0.985, 0.5, "right", "center"), (0.5, 0.98, "center", "top"))
    for letter, (x, y, ha, va) in zip(letters, (*places, (0.5, 0.02, "center", "bottom")), strict=True):
        axes.text(
            x, y, letter, transform=axes.transAxes, ha=ha, va=va,
            color=LETTER, fontsize=points, weight="bold", path_effects=OUTLINE,
        )  # fmt: skip


def _write_report(sheet: _Sheet, provenance: Provenance, x: float, y: float, height: float) -> None:
    """The first lines of the report that fit, and under them what was requested."""
    columns = int((1 - MARGIN - x) / (TEXT_SIZE * CHARACTER_WIDTH))
    facts = [line for fact in _facts(provenance) for line in textwrap.wrap(fact, columns)]
    line = TEXT_SIZE * LINE_HEIGHT
    room = max(1, int(height / line) - len(facts) - 1)
    report = textwrap.wrap(provenance.report, columns, max_lines=room, placeholder=" …") or ["No report"]
    sheet.text(x, y, "\n".join(report), TEXT_SIZE)
    sheet.text(x, y + (len(report) + 0.6) * line, "\n".join(facts), TEXT_SIZE, FAINT)


def _facts(provenance: Provenance) -> tuple[str, str]:
    requested, predicted = provenance.pathology_requested, provenance.predicted_positive_probability
    pathology = f"Pathology: {'as the report says' if requested is None else requested}"
    if predicted is not None:
        pathology += f"  ·  the report reads {predicted:.0%} positive"
    sampling = f"{provenance.scheduler}, {provenance.num_inference_steps} steps, guidance {provenance.guidance_scale:g}"
    return pathology, f"Seed {provenance.seed}  ·  {sampling}"
