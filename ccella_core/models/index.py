"""What a model says of itself: the content of its `model_index.json`. Without torch, as all of `models`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from ccella_core.config import MaxTokens, Side
from ccella_core.errors import InputError
from ccella_core.models.calibration import Calibration
from ccella_core.provenance import LabelName, SequenceName

FORMAT_VERSION = 2  # since weights may be stored as int8, and labels drawn
FORMAT_VERSION_WITHOUT_INT8 = 1  # what older software reads as well, where there are no labels
LATER_FIELDS = ("default_guidance_scale", "modality_labels", "trained_shape", "trained_spacing_mm", "calibration")
"""Of the index; models are older than they are."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AtLeast0 = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]  # becomes a folder on every system
Whole = tuple[PositiveInt, PositiveInt]
Range = tuple[Positive, Positive]
Words = Annotated[str, Field(pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$")]
"""Printed as it is, so that it holds nothing that a terminal would obey."""
ComponentName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ModelIndex(BaseModel):
    """What `model_index.json` holds. `write_model` fills in `sha256` and `size_bytes`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["ccella-model"] = "ccella-model"
    format_version: Annotated[int, Field(strict=True, ge=1)] = FORMAT_VERSION_WITHOUT_INT8
    name: Name
    version: Words
    licence: Words
    intended_use: Words
    description: Words
    variant: Words
    sequences: Annotated[list[SequenceName], Field(min_length=1)]  # the parts of the latent that are images …
    labels: list[LabelName] = []  # … and those after them, which are labels
    native_shape: tuple[Side, Side, Side]  # voxels along X, Y, Z
    native_spacing_mm: tuple[Positive, Positive, Positive]
    intensity_range: dict[SequenceName, tuple[Finite, Finite]]  # what the network's 0 and 1 stand for
    latent_scale_factor: Positive | tuple[Positive, ...]  # or one for each part of the latent, or for each channel
    max_report_tokens: MaxTokens
    default_scheduler: Words
    default_num_inference_steps: Annotated[int, Field(gt=0, le=10**5)]
    default_guidance_scale: AtLeast0 = 1.0
    modality_labels: dict[SequenceName, NonNegativeInt] = Field(default_factory=dict)  # of a variant that has labels
    trained_shape: tuple[Whole, Whole, Whole] | None = None  # smallest and largest along each axis, where known
    trained_spacing_mm: tuple[Range, Range, Range] | None = None  # the same
    calibration: dict[SequenceName, Calibration] = Field(default_factory=dict)  # of those that have one
    trained_on: Words
    training: dict[str, JsonValue]
    measured: dict[str, JsonValue] = Field(default_factory=dict)
    components: dict[ComponentName, str]  # folder: name of the class that reads it
    sha256: dict[str, Hash] = Field(default_factory=dict)  # by path within the model, with forward slashes
    size_bytes: dict[str, NonNegativeInt] = Field(default_factory=dict)

    @field_validator("sha256", "size_bytes")
    @classmethod
    def _stay_inside(cls, files: dict[str, object]) -> dict[str, object]:
        for name in files:
            parts = name.split("/")
            if any(part in ("", ".", "..") for part in parts) or re.search(r"[\\:\x00]", name):
                raise ValueError(f"the path {name!r} leads out of the model")
        return files

    @property
    def parts(self) -> tuple[SequenceName | LabelName, ...]:
        """Of the latent, each as many channels wide as the autoencoder's."""
        return (*self.sequences, *self.labels)

    @property
    def scale_factors(self) -> tuple[tuple[float, ...], ...]:
        """The latent scale factors of each part: one, or one for each of its channels."""
        factor = self.latent_scale_factor
        factors = factor if isinstance(factor, tuple) else (factor,) * len(self.parts)
        channels = len(factors) // len(self.parts)
        return tuple(factors[start : start + channels] for start in range(0, len(factors), channels or 1))

    @model_validator(mode="after")
    def _agree(self) -> ModelIndex:
        if len(set(self.parts)) < len(self.parts):
            raise ValueError("a sequence or a label is named twice")
        if len(self.scale_factors) != len(self.parts):
            raise ValueError(
                "latent_scale_factor must hold one number for each of the sequences and labels, or for each channel"
            )
        if set(self.intensity_range) != set(self.sequences):
            raise ValueError("intensity_range must name exactly the sequences")
        if self.modality_labels and set(self.modality_labels) != set(self.sequences):
            raise ValueError("modality_labels must name exactly the sequences, or none")
        if not self.calibration.keys() <= set(self.sequences):
            raise ValueError("calibration must name sequences of the model")
        if any(low > high for low, high in (*(self.trained_shape or ()), *(self.trained_spacing_mm or ()))):
            raise ValueError("trained_shape and trained_spacing_mm must run from small to large")
        if any(low >= high for low, high in self.intensity_range.values()):
            raise ValueError("an intensity_range must run from low to high")
        if self.sha256.keys() != self.size_bytes.keys():
            raise ValueError("sha256 and size_bytes must name the same files")
        return self

    def drawn(self, wanted: Sequence[SequenceName] | None = None) -> list[SequenceName]:
        """The sequences of which a generation gives a volume each, in the model's order.

        Args:
            wanted: some of the model's, one of a model with labels, which draws one at a time; by default all, or the
                first.

        Raises:
            InputError: the model draws no such sequence, or not so many at a time.
        """
        if wanted is None:
            return self.sequences[:1] if self.modality_labels else list(self.sequences)
        if missing := [name for name in wanted if name not in self.sequences]:
            raise InputError(f"The model {self.name} draws {', '.join(self.sequences)}, and no {missing[0]}.")
        if self.modality_labels and len(wanted) > 1:
            raise InputError(f"The model {self.name} draws one sequence at a time, not {', '.join(wanted)} together.")
        return [name for name in self.sequences if name in wanted]

    def stacked(self, drawn: Sequence[SequenceName | LabelName]) -> tuple[SequenceName | LabelName, ...]:
        """The parts whose latents are made together, where these are drawn."""
        return tuple(drawn) if self.modality_labels else self.parts

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without later fields where they say nothing: a model's hash is of its index, and older models keep theirs."""
        fields = type(self).model_fields
        silent = {
            name for name in LATER_FIELDS if getattr(self, name) == fields[name].get_default(call_default_factory=True)
        }
        return {name: value for name, value in handler(self).items() if name not in silent}
