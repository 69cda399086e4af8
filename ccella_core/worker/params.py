"""The parameters of each method, as the protocol has them. Types are checked here, values by whoever uses them."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ccella_core.worker.protocol import ProtocolError
from ccella_core.worker.tasks import Task

ThreeSizes = Annotated[list[int], Field(min_length=3, max_length=3)]
ThreeLengths = Annotated[list[float], Field(min_length=3, max_length=3)]


class Params(BaseModel):
    """Strict: a number in quotation marks is none, and an unknown name is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DescribeParams(Params):
    model_folders: list[str] = []


class CountTokensParams(Params):
    model: str
    report: str


class EstimateParams(Params):
    model: str
    device: str = "auto"
    num_inference_steps: int | None = None
    count: int = 1
    guidance_scale: float = 1.0
    shape: ThreeSizes | None = None


class GenerateParams(Params):
    report: str | None = None
    pathology: str | float | None = None
    model: str
    seed: int | None = None
    count: int = 1
    num_inference_steps: int | None = None
    scheduler: str | None = None
    guidance_scale: float = 1.0
    device: str = "auto"
    shape: ThreeSizes | None = None
    spacing: ThreeLengths | None = None
    memory_limit_gib: float | None = None
    output_dir: str
    name: str | None = None


class DownloadParams(Params):
    name: str


class DeleteParams(Params):
    path: str


P = TypeVar("P", bound=Params)


def read_params(kind: type[P], task: Task) -> P:
    """The parameters of ``task`` as ``kind``. Raises ProtocolError naming the first that does not fit."""
    try:
        return kind.model_validate(task.params)
    except ValidationError as error:
        first = error.errors()[0]
        # The names, not the positions in lists and unions that follow them.
        raise ProtocolError(f"{task.method} cannot use the parameter {first['loc'][0]}: {first['msg']}.") from error
