"""The parameters of each method, as the protocol has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ccella_core.client.protocol import ProtocolError
from ccella_core.errors import InputError, pydantic_words
from ccella_core.generation.options import GenerationOptions, refusal
from ccella_core.provenance import SequenceName
from ccella_core.worker.tasks import Task

if TYPE_CHECKING:
    from ccella_core.generation.edit import Sphere

WRONG_TYPES = ("_type", "_parsing", "missing", "extra_forbidden", "too_long")
"""Endings of pydantic's names for what a client must mend; all else is a value that a person chose."""


class Params(BaseModel):
    """Strict: a number written as a text is refused, and so is an unknown name."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DescribeParams(Params):
    """Of ``describe``."""

    model_folders: list[str] = []


class CountTokensParams(Params):
    """Of ``count_tokens``."""

    model: str
    report: str


class EstimateParams(GenerationOptions):
    """Of ``estimate``: the options of ``generate``, so that a client can send the same ones."""

    model: str
    device: str = "auto"


class GenerateParams(GenerationOptions):
    """Of ``generate``: the options, and what they are used on."""

    report: str | None = None
    model: str
    device: str = "auto"
    output_dir: str | None = None
    name: str | None = None
    image: str | dict[SequenceName, str] | None = None
    mask: str | None = None
    around: tuple[float, float, float] | None = None
    radius: float | None = None

    @property
    def where(self) -> Sphere | str | None:
        """Where the image may change. Raises InputError where more than one place is given, or half of one."""
        if (self.around is None) != (self.radius is None) or (self.around is not None and self.mask is not None):
            raise InputError("Give a mask, or a point with a radius, and not both.")
        if self.around is None or self.radius is None:
            return self.mask
        from ccella_core.generation.edit import Sphere

        return Sphere(self.around, self.radius)

    @property
    def options(self) -> GenerationOptions:
        """Without what is not an option."""
        return GenerationOptions.model_construct(**self.model_dump(include=set(GenerationOptions.model_fields)))


class ReadStudyParams(Params):
    """Of ``read_study``."""

    folder: str


class DownloadParams(Params):
    """Of ``download``."""

    name: str


class DeleteParams(Params):
    """Of ``delete``."""

    path: str


P = TypeVar("P", bound=BaseModel)


def read_params(kind: type[P], task: Task) -> P:
    """The parameters of ``task`` as ``kind``.

    Raises:
        ProtocolError: the first parameter that has another type, is missing or unknown.
        InputError: the first option whose value does not fit.
    """
    try:
        return kind.model_validate(task.params)
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][0] if first["loc"] else ""  # without the positions in lists and unions that follow it
        if _is_value(error, name):
            raise InputError(refusal(first)) from error
        raise ProtocolError(f"{task.method} cannot use the parameter {name}: {pydantic_words(first)}.") from error


def _is_value(error: ValidationError, name: object) -> bool:
    """Whether an option's value is wrong and not its type; of a union, one member of the right type is enough."""
    if name and name not in GenerationOptions.model_fields:
        return False
    return any(
        isinstance(each["input"], str) if each["type"] == "literal_error" else not each["type"].endswith(WRONG_TYPES)
        for each in error.errors()
        if not name or each["loc"][0] == name
    )
