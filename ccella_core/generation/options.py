"""What can be requested of a generation beside its report: one checked object for library, commands, worker and module.

Torch is not needed here, so that a mistake is refused before anything slow is imported.

An option is added in four places:

1. here: a field of ``GenerationOptions`` with type, limits, default and description, and its name in
   ``GenerationKeywords``;
2. where it takes effect: ``CCELLAPipeline`` or what it calls;
3. ``Provenance``: a field of the same name, which is then filled in and written to every sidecar;
4. ``cli/generate.py``: the command's option.

The worker, ``process`` of the Slicer module, ``synthesize`` and its record of what a folder was made with take it from
here. ``output_range`` shows the way.
"""

from __future__ import annotations

import difflib
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, get_args

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from ccella_core.config import StrictModel
from ccella_core.errors import InputError, pydantic_words
from ccella_core.generation.report_text import NULL_REPORT, check_report
from ccella_core.limits import MAX_COUNT, NUM_SEEDS, DTypeName, OutputRange, SchedulerName
from ccella_core.models.index import ModelIndex
from ccella_core.provenance import LabelName, SequenceName

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from typing_extensions import Unpack

    from ccella_core.generation.edit import ScanToEdit
    from ccella_core.models.model import ModelFolder

INT16 = np.iinfo(np.int16)
FEWEST_LEVELS = 100
"""Whole numbers that a sequence's range must hold for rounding to be harmless: as many greys as an eye tells apart."""
CHOSEN_SEEDS = 2**32
"""A seed that nobody gave lies below this: short enough to be copied by hand."""
MIN_SPACING_MM = 0.01
"""A hundredth of what any scanner resolves."""
MAX_SPACING_MM = 100.0
"""A voxel longer than this is surely a mistake of units."""

Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Length = Annotated[Number, Field(ge=MIN_SPACING_MM, le=MAX_SPACING_MM)]
Crop = Annotated[Number, Field(gt=0)]


class GenerationOptions(StrictModel):
    """How volumes of a report are generated; ``None``: as the model has it.

    ``read_options`` refuses in one sentence what does not fit; the model itself raises pydantic's ValidationError.
    """

    seed: Annotated[Whole, Field(ge=0, lt=NUM_SEEDS)] | None = Field(
        None, description="of the first examination, 0 … 2**63 - 1; the others follow. None: a new one is drawn"
    )
    count: Annotated[Whole, Field(ge=1, le=MAX_COUNT)] = Field(
        1, description=f"examinations of the report, 1 … {MAX_COUNT}, each with a volume of every sequence"
    )
    sequences: Annotated[tuple[SequenceName, ...], Field(min_length=1)] | None = Field(
        None, description="those of the model's that are decoded, which takes less time than all; None: all"
    )
    labels: bool = Field(True, strict=True, description="a label map of each examination, where the model draws labels")
    num_inference_steps: Whole | None = Field(
        None, description="evaluations of the denoiser, 1 … the timesteps that it was trained with"
    )
    scheduler: SchedulerName | None = Field(None, description="how noise becomes an image, see `Scheduler`")
    guidance_scale: Annotated[Number, Field(ge=0)] | None = Field(
        None,
        description="classifier-free guidance; 1: off, None: as the model has it. Experimental for reports: the "
        "published model is sampled without",
    )
    shape: tuple[Whole, Whole, Whole] | None = Field(
        None, description="voxels along X, Y, Z, multiples of the pipeline's `shape_multiples`"
    )
    spacing: tuple[Length, Length, Length] | None = Field(
        None, description=f"mm along X, Y, Z, {MIN_SPACING_MM:g} … {MAX_SPACING_MM:g}"
    )
    pathology: Literal["negative", "positive"] | Annotated[Number, Field(ge=0, le=1)] | None = Field(
        None, description="the class or the probability of a positive one; None: as the report says"
    )
    memory_limit_gib: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="GiB that decoding may take beyond weights and program; None: no limit"
    )
    strength: Annotated[Number, Field(gt=0, le=1)] | None = Field(
        None,
        description="of an edit: the share of the steps for which a scan that is given is drawn anew, above 0 and up "
        "to 1, where nothing of it is left; None: 1 inside a mask, 0.6 without one",
    )
    crop_mm: tuple[Crop, Crop, Crop] | None = Field(
        None,
        description="mm along X, Y, Z that are kept around the gland: the one that the model draws as a label, or that "
        "lavlab-taps sees in T2 where it is installed; else around the middle, with a warning; None: all of it",
    )
    output_range: OutputRange = Field(
        "native",
        description="voxel values: the model's intensity range of the sequence (native), the decoded values (0-1), or "
        "native ones rounded to whole numbers, which are saved in half the space (int16)",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        """NumPy's and torch's numbers and arrays as Python's."""
        return value.tolist() if callable(getattr(value, "tolist", None)) else value

    @model_validator(mode="after")
    def _seeds_fit(self) -> GenerationOptions:
        if self.seed is not None and self.seed > NUM_SEEDS - self.count:
            raise ValueError(f"A seed is a whole number from 0 to 2**63 - {self.count}, not {self.seed!r}.")
        return self

    def with_seed(self) -> GenerationOptions:
        """The same with a seed: a new one is drawn where there is none."""
        return self if self.seed is not None else self.model_copy(update={"seed": secrets.randbelow(CHOSEN_SEEDS)})

    @property
    def seeds(self) -> list[int]:
        """One an examination: ``seed``, ``seed + 1``, …; there must be a seed, see ``with_seed``."""
        if self.seed is None:
            raise InputError("There is no seed; give one for each latent to draw.")
        return list(range(self.seed, self.seed + self.count))


class GenerationKeywords(TypedDict, total=False):
    """The fields of ``GenerationOptions`` as keywords, but for ``scheduler``, which can be an object too."""

    seed: int | None
    count: int
    sequences: Sequence[SequenceName] | None
    labels: bool
    num_inference_steps: int | None
    guidance_scale: float | None
    shape: Sequence[int] | None
    spacing: Sequence[float] | None
    pathology: str | float | None
    memory_limit_gib: float | None
    strength: float | None
    crop_mm: Sequence[float] | None
    output_range: OutputRange


def read_options(
    options: GenerationOptions | None = None, *, scheduler: str | None = None, **keywords: Unpack[GenerationKeywords]
) -> GenerationOptions:
    """``options`` with the keywords over them, checked.

    Args:
        options: by default those of ``GenerationOptions()``.
        scheduler: over that of ``options``, if given.
        **keywords: fields of ``GenerationOptions``.

    Raises:
        InputError: a keyword that no option has, or a value that does not fit, in one sentence.
    """
    values: dict[str, Any] = {} if options is None else options.model_dump()
    values |= keywords
    if scheduler is not None:
        values["scheduler"] = scheduler
    return options_of(values)


def options_of(values: Mapping[str, Any]) -> GenerationOptions:
    """As ``read_options``, of a mapping."""
    try:
        return GenerationOptions.model_validate(values)
    except ValidationError as error:
        raise InputError(refusal(error.errors()[0])) from error


def check_shape(model: ModelFolder, shape: tuple[int, int, int] | None) -> None:
    """Raises InputError for voxels that the model cannot make, before its weights are read."""
    if shape is None:
        return
    from ccella_core.models.model import load_config
    from ccella_core.networks.config import AutoencoderConfig, DenoiserConfig, check_volume_shape, volume_multiples

    autoencoder = load_config(AutoencoderConfig, model.component_path("autoencoder"))
    unet = load_config(DenoiserConfig, model.component_path("denoiser")).unet
    check_volume_shape(shape, multiples=volume_multiples(autoencoder, unet))


def check_device(name: str, dtype: str = "auto") -> None:
    """Refuse what names no device or precision on any computer; ``devices`` knows those of this one, with torch.

    Raises:
        InputError: what there is instead.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise InputError(f"There is no device {name!r}; choose auto, cpu, mps, cuda, or a card such as cuda:1.")
    if dtype not in get_args(DTypeName):
        raise InputError(f"There is no precision {dtype!r}; choose {', '.join(get_args(DTypeName))}.")


def check_request(
    index: ModelIndex,
    report: str | None,
    options: GenerationOptions,
    edit: ScanToEdit | None = None,
    *,
    reads_report: bool,
    allow_null: bool = False,
) -> None:
    """Refuse what a model's index alone tells to be a mistake, so that nothing of the model is loaded for it.

    Args:
        index: of the model.
        report: as given by the caller.
        options: checked by themselves.
        edit: what is edited, if anything.
        reads_report: whether the model has a text encoder.
        allow_null: see ``CCELLAPipeline.__call__``.

    Raises:
        InputError: a report, sequence, range or option of an edit that this model cannot use.
    """
    if not reads_report:
        if report is not None:
            raise InputError(f"The model {index.name} reads no report; leave it out.")
    elif report is None:
        raise InputError(f"The model {index.name} reads a report; give one.")
    elif not (allow_null and report == NULL_REPORT):
        check_report(report)
    wanted_parts(index, options, edit)
    if edit is None:
        if options.output_range == "int16":
            _check_whole_numbers(index)
        if options.strength is not None:
            raise InputError("The strength says how much of a scan is drawn anew: give a scan, or leave it out.")
    elif options.output_range != "native":
        raise InputError("An edited scan keeps the scan's own intensities: leave the output range out.")
    elif options.crop_mm is not None:
        raise InputError("An edited scan keeps its own grid: leave the crop out.")


def wanted_parts(
    index: ModelIndex, options: GenerationOptions, edit: ScanToEdit | None = None
) -> tuple[SequenceName | LabelName, ...]:
    """Sequences and labels that are decoded, in the model's order; of an edit those of its scans, without labels.

    Raises:
        InputError: a sequence that the model does not draw, or of which there is no scan to edit.
    """
    wanted = options.sequences if edit is None else options.sequences or tuple(edit.scans)
    drawn = index.drawn(wanted)
    if edit is not None and (missing := [name for name in drawn if name not in edit.scans]):
        raise InputError(f"There is no {missing[0]} scan to edit; leave it out of the sequences.")
    return (*drawn, *(index.labels if options.labels and edit is None else ()))


def _check_whole_numbers(index: ModelIndex) -> None:
    for sequence, (low, high) in index.intensity_range.items():
        if high - low < FEWEST_LEVELS or not INT16.min <= low < high <= INT16.max:
            raise InputError(
                f"The model {index.name} gives {sequence} voxels from {low:g} to {high:g}, which int16 cannot hold; "
                "choose the output range native or 0-1."
            )


_SENTENCES = {
    "seed": "A seed is a whole number from 0 to 2**63 - 1, not {value!r}.",
    "count": f"The count is a whole number from 1 to {MAX_COUNT}, not {{value!r}}; for more, call again.",
    "num_inference_steps": "The number of steps must be a whole number from 1 up, not {value!r}.",
    "guidance_scale": "The guidance scale is a number from 0 up, not {value!r}.",
    "sequences": f"The sequences are a list of some of {', '.join(get_args(SequenceName))}, not {{value!r}}.",
    "labels": "Labels are wanted or not, True or False, not {value!r}.",
    "shape": "A volume's shape is three whole numbers of voxels, not {value!r}.",
    "spacing": "The spacing is three lengths in mm, not {value!r}.",
    "pathology": "The pathology is 'negative', 'positive' or a probability from 0 to 1, not {value!r}.",
    "strength": "The strength is a number above 0 and up to 1, not {value!r}.",
    "crop_mm": "What is kept of a volume is three lengths in mm above 0, not {value!r}.",
    "memory_limit_gib": "The memory limit is a number of GiB above 0, not {value!r}.",
}
"""Said whatever is wrong with the value; an option that is missing here is explained in pydantic's words."""


def refusal(error: ErrorDetails) -> str:
    """One of pydantic's errors about an option, as a sentence."""
    if not error["loc"]:
        return pydantic_words(error)
    name, value = str(error["loc"][0]), error["input"]
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, GenerationOptions.model_fields, n=1)
        return f"There is no option {name}{f'; did you mean {near[0]}?' if near else '.'}"
    if name == "spacing" and len(error["loc"]) > 1 and error["type"] != "missing":
        return f"Each spacing is from {MIN_SPACING_MM:g} to {MAX_SPACING_MM:g} mm, not {value!r}."
    if name in _SENTENCES:
        return _SENTENCES[name].format(value=value)
    words = name.replace("_", " ")
    if error["type"] == "literal_error":
        choices = ", ".join(re.findall("'(.*?)'", error["ctx"]["expected"]))
        return f"There is no {words} {value!r}; choose one of {choices}."
    return f"The {words} cannot be {value!r}: {pydantic_words(error)}."
