"""What is needed to make the very same synthetic volume again, and the words that say it is synthetic."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from importlib import metadata
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from ccella_core.limits import SYNTHETIC_LABEL, OutputRange, synthetic_label, synthetic_title

SequenceName = Literal["t2w", "hbv", "adc"]
LabelName = Literal["gland", "lesion"]
LABEL_VALUES: dict[LabelName, int] = {"gland": 1, "lesion": 2}
"""What a label map holds; 0 is neither. A lesion is written over the gland that it lies in."""
LABELS: Literal["labels"] = "labels"

# The packages whose version can change a voxel.
RECORDED_PACKAGES = ("ccella-core", "torch", "monai", "transformers", "diffusers", "numpy")


def file_stem(examination: str, part: SequenceName | Literal["labels"], *, of_several: bool) -> str:
    """The name without ending of an examination's volume, or of its label map.

    Args:
        examination: its name.
        part: the sequence; ``LABELS`` for the label map, which Slicer knows by this word.
        of_several: the model draws more than one sequence.
    """
    if part == LABELS:
        return f"{examination}-{LABELS}"
    return f"{examination}_{part}" if of_several else examination


def software_versions() -> dict[str, str]:
    """Installed versions of Python and of the packages that can change a voxel; those not installed are left out."""
    versions = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


class Provenance(BaseModel):
    """How a volume was made.

    ``shape`` (X, Y, Z) and ``spacing`` in mm are of the grid that the model drew on: the volume's own, unless it was
    edited from a scan, whose grid it then has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model_name: str
    model_version: str
    model_sha256: str
    report: str = Field(description="The text given to the encoder; empty when there was none.")
    pathology_requested: str | float | None = Field(
        description="A class, the probability of a positive one, or nothing: as the report says."
    )
    predicted_positive_probability: float | None = Field(
        ge=0, le=1, description="What the adapter read from the report; nothing for a model without class heads."
    )
    seed: int = Field(ge=0)
    scheduler: str = Field(description="Its name; for a ready scheduler that was handed in, the name of its class.")
    num_inference_steps: int = Field(ge=1)
    guidance_scale: float = Field(ge=0)
    strength: float | None = Field(None, description="Of an edit, see ``GenerationOptions``; else nothing.")
    source_sha256: str | None = Field(
        None, description="Of the scan that this was edited from: a hash of its voxels, whatever file they were in."
    )
    examination_sha256: str | None = Field(
        None, description="The same of the first of the scans that were edited together: their results share it."
    )
    mask_sha256: str | None = Field(None, description="The same of the mask within which it was edited.")
    crop_mm: tuple[float, float, float] | None = Field(
        None, description="What was kept of the volume of ``shape``; nothing: all of it."
    )
    crop_center_mm: tuple[float, float, float] | None = Field(
        None, description="Around which point, the middle of its gland, in RAS from the volume's middle; nothing: that."
    )
    output_range: OutputRange = Field("native", description="What the voxels hold, see ``GenerationOptions``.")
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    device: str
    dtype: str
    software: dict[str, str] = Field(default_factory=software_versions)
    created: AwareDatetime = Field(default_factory=lambda: datetime.now(timezone.utc))
    warnings: list[str] = Field(default_factory=list)

    @property
    def title(self) -> str:
        """What a volume is called before anything else: synthetic, and if so, edited from what."""
        return synthetic_title(self.source_sha256)

    @property
    def label(self) -> str:
        """What is written on and into a volume, wherever it goes."""
        return synthetic_label(self.source_sha256)


class Sidecar(BaseModel):
    """The JSON file beside a saved image."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    synthetic: Literal[True] = True
    label: str = SYNTHETIC_LABEL
    image: str = Field(description="Name of the image file this describes, in the same folder.")
    sha256: str = Field(description="SHA-256 of that file's bytes.")
    sequence: SequenceName | None = Field(None, description="What it shows; nothing for a label map.")
    labels: dict[LabelName, int] | None = Field(None, description="The values of a label map; nothing for a volume.")
    provenance: Provenance

    @model_validator(mode="after")
    def _one_of_both(self) -> Sidecar:
        if (self.sequence is None) == (self.labels is None):
            raise ValueError("it must name a sequence or labels, one of the two")
        return self
