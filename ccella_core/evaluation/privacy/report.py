"""A search for copies on disk: ``privacy.json``, ``privacy.md``, and two pictures to look at."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pydantic import Field

from ccella_core.config import StrictModel
from ccella_core.errors import SaveError
from ccella_core.evaluation.data.volume_set import VolumeSet
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.files import whole_file
from ccella_core.imaging.planes import middle_planes, side_by_side
from ccella_core.provenance import SYNTHETIC_LABEL
from ccella_core.report_page import WARNING_INK, markdown_table, save_result

STEM, CHART_NAME, PAIRS_NAME = "privacy", "privacy.png", "SYNTHETIC_closest_pairs.png"
SHOWN = 8
"""Pairs that a person looks at; the whole list is in the JSON file."""
PAIR_OF_PLANES_INCHES = (5.2, 2.1)
CHART_INCHES = (8.0, 2.4)
TITLE_INCHES = 0.6
FIGURE_DOTS_PER_INCH = 100
TIMES_NEARER_BARS = 40
SURELY_COPIED = 100
"""Times nearer: beyond it a figure tells no more."""
TICKS = (1, 2, 5, 10, 20, 50, SURELY_COPIED)
SYNTHETIC_INK, REAL_INK = "#1f6f8b", "#9aa4ae"


def save_privacy(scores: PrivacyScores, synthetic: VolumeSet, training: VolumeSet, folder: Path) -> None:
    """Write everything into ``folder``. The pictures show training cases. Raises SaveError."""
    save_result(scores, privacy_markdown(scores), folder / STEM)
    pictures = {CHART_NAME: _chart(scores), PAIRS_NAME: _pairs(scores.closest[:SHOWN], synthetic, training)}
    for name, figure in pictures.items():
        stream = io.BytesIO()
        FigureCanvasAgg(figure).print_png(stream, metadata={"Description": SYNTHETIC_LABEL})
        try:
            with whole_file(folder / name) as unfinished:
                unfinished.write_bytes(stream.getvalue())
        except OSError as error:
            raise SaveError(f"The pictures could not be written into {folder}: {error.strerror or error}.") from error


def privacy_markdown(scores: PrivacyScores) -> str:
    """The answer in a sentence, a table of the comparisons, the closest pairs, and the warnings."""
    comparisons = [
        [each.by, f"{each.limit:.2f}", each.suspected.as_share(1), each.real_suspected.as_share(1),
         f"{np.median(each.times_nearer):.2f}", f"{np.median(each.real_times_nearer):.2f}",
         f"{each.median_distance:.3g}", f"{each.real_median_distance:.3g}"]
        for each in scores.comparisons
    ]  # fmt: skip
    closest = [
        [each.synthetic, each.training, each.by, _nearness(each), "suspected" if each.suspected else ""]
        for each in scores.closest[:SHOWN]
    ]
    held_out = scores.real_authenticity
    parts = [
        f"# Copies of {scores.training} among {scores.synthetic}",
        f"Suspected copies: {scores.suspected.as_share(1)} of the synthetic volumes. If nothing was copied, at most "
        f"{scores.false_alarm_rate:.2%} would be expected.",
        f"Of each volume, the distance to the nearest of {scores.training_patients} training patients is compared with "
        f"that to the one {scores.rank} places further. Suspected is a volume that is more times nearer to the first "
        f"than the limit, which follows from {scores.real}.",
        markdown_table(
            ["Compared by", "limit", "suspected", "real volumes beyond it", "times nearer: synthetic", "real",
             "distance: synthetic", "real"],
            comparisons,
        ),
        "Times nearer and distances are medians.",
        f"Authenticity, by {scores.comparisons[-1].by}: {scores.authenticity.as_share(1)}"
        + ("." if held_out is None else f"; of held-out volumes {held_out.as_share(1)}."),
        f"## The closest {len(closest)} of {len(scores.closest)}",
        f"They are shown in {PAIRS_NAME}, beside the training cases: keep that picture as you keep the training data.",
        markdown_table(["Synthetic", "nearest training volume", "by", "times nearer", ""], closest),
        *(f"**Warning:** {warning}" for warning in scores.warnings),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _chart(scores: PrivacyScores) -> Figure:
    """How many times nearer, of synthetic and of real volumes, with the limit; a panel a comparison."""
    count = len(scores.comparisons)
    figure = Figure((CHART_INCHES[0], CHART_INCHES[1] * count), dpi=FIGURE_DOTS_PER_INCH, layout="constrained")
    for axes, comparison in zip(figure.subplots(count, 1, squeeze=False)[:, 0], scores.comparisons, strict=True):
        _histogram(axes, comparison)
    return figure


def _histogram(axes: Axes, comparison: NeighbourComparison) -> None:
    both = {"synthetic": comparison.times_nearer, "real": comparison.real_times_nearer}
    bins = np.geomspace(1, max(SURELY_COPIED, comparison.limit), TIMES_NEARER_BARS)
    for (name, values), ink in zip(both.items(), (SYNTHETIC_INK, REAL_INK), strict=True):
        share = np.full(len(values), 1 / len(values))
        axes.hist(
            np.minimum(values, bins[-1]),
            bins=bins.tolist(),
            weights=share,
            color=ink,
            alpha=0.6,
            label=f"{name} (n {len(values)})",
        )
    axes.axvline(comparison.limit, color=WARNING_INK, linewidth=1.2, label=f"limit {comparison.limit:.2f}")
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [*map(str, TICKS[:-1]), f"{SURELY_COPIED} or more"])
    axes.minorticks_off()
    axes.set_xlabel(f"times nearer to one training patient than to the next ones, by {comparison.by}", fontsize=9)
    axes.set_ylabel("share of volumes", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _pairs(closest: tuple[Nearest, ...], synthetic: VolumeSet, training: VolumeSet) -> Figure:
    """Each synthetic volume beside its nearest training volume: axial, coronal and sagittal plane of both."""
    rows = len(closest)
    figure = Figure(
        (2 * PAIR_OF_PLANES_INCHES[0], PAIR_OF_PLANES_INCHES[1] * rows + TITLE_INCHES),
        dpi=FIGURE_DOTS_PER_INCH,
        layout="constrained",
    )
    figure.suptitle(f"{SYNTHETIC_LABEL}. Left: synthetic; right: the nearest training case, which is confidential")
    for (left, right), pair in zip(figure.subplots(rows, 2, squeeze=False), closest, strict=True):
        for axes, volumes, index in (
            (left, synthetic, pair.synthetic_index),
            (right, training, pair.training_index),
        ):
            planes = side_by_side(middle_planes(volumes.voxels(index), volumes.spacing))
            axes.imshow(planes, cmap="gray", vmin=0, vmax=255)
            axes.set_axis_off()
        ink = WARNING_INK if pair.suspected else "black"
        verdict = "suspected copy" if pair.suspected else "not suspected"
        left.set_title(f"SYNTHETIC\n{pair.synthetic}", fontsize=9, color=ink)
        nearness = f"{_nearness(pair)} times nearer by {pair.by}; {verdict}"
        right.set_title(f"{pair.training}\n{nearness}", fontsize=9, color=ink)
    return figure


def _nearness(pair: Nearest) -> str:
    return f"{pair.times_nearer:.2f}" if pair.times_nearer < SURELY_COPIED else f"over {SURELY_COPIED}"


class NeighbourComparison(StrictModel):
    """What one way of comparing volumes found."""

    by: str = Field(description="aligned voxels, or the extractor of the features")
    limit: float = Field(description="times nearer than the others, from which a volume is suspected")
    false_alarm_rate: float = Field(description="of new volumes that the limit is to suspect")
    suspected: Estimate
    real_suspected: Estimate = Field(description="the same among real volumes: false alarms, or a patient in both sets")
    median_distance: float = Field(description="of synthetic volumes from their nearest training volume")
    real_median_distance: float = Field(description="of real volumes from theirs")
    times_nearer: tuple[float, ...] = Field(description="of each synthetic volume, in order")
    real_times_nearer: tuple[float, ...]


class Nearest(StrictModel):
    """A synthetic volume and the training volume that is nearest to it by one comparison."""

    synthetic: str
    training: str
    synthetic_index: int
    training_index: int
    by: str
    distance: float
    times_nearer: float
    suspicion: float = Field(description="times_nearer by the limit: suspected above 1")

    @property
    def suspected(self) -> bool:
        """Whether it lies nearer than the limit of its comparison."""
        return self.suspicion > 1


class PrivacyScores(StrictModel):
    """What was found in a set of synthetic volumes."""

    synthetic: str
    training: str
    real: str
    """What set the limits: held-out volumes, or the training volumes themselves, each left out in turn."""
    training_volumes: int
    training_patients: int
    rank: int = Field(description="the nearest patient is compared with the one so many places further")
    suspected: Estimate
    """By either comparison."""
    false_alarm_rate: float = Field(description="of either comparison at most")
    comparisons: tuple[NeighbourComparison, ...]
    authenticity: Estimate
    """Volumes that are further from their nearest training volume than it is from its own nearest, by features."""
    real_authenticity: Estimate | None
    """The same of held-out volumes."""
    closest: tuple[Nearest, ...]
    """Every synthetic volume once, the most suspicious first."""
    warnings: tuple[str, ...]
    extractor_sha256: str = Field(description="fingerprint of its weights")
