"""The stages of a study: each leaves its result in a folder of its own, and is done once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from accelerate.state import AcceleratorState
from pydantic import Field, ValidationError

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.data.volume_set import VolumeSet
from ccella_core.files import prepare_folder, read_bytes, write_json
from ccella_core.fingerprints import flat, refuse_other
from ccella_core.progress import OnProgress

STAGE_NAME = "stage.json"
MADE_OTHERWISE = "what was made with something else"
WEIGHTS_KEYS = {"phantom_reader_sha256", "extractor_sha256"}
"""Of ``made_with``: fingerprints of the weights of what measured."""

StepResult = TypeVar("StepResult", bound=StrictModel)
Work = Callable[[Path, OnProgress], StepResult]
"""Does a stage in its folder, going on with what lies there of it."""


Fingerprints = Callable[[], dict[str, Any]]
"""Gives fingerprints of weights by their keys in ``made_with``; none of weights that are not at hand."""


def no_weights() -> dict[str, Any]:
    """Of a stage that measures with no network."""
    return {}


class StudyStep(NamedTuple):
    """A stage as it is planned."""

    key: str
    """Its folder in the study's, with forward slashes."""
    title: str
    why_not: str | None = None
    """Why it is left out, where it does not apply."""
    counted: str = "Volumes"
    """What its progress counts."""


class StageRecord(StrictModel):
    """What ``stage.json`` holds."""

    format: Literal["ccella-stage"] = "ccella-stage"
    format_version: Literal[1] = 1
    made_with: dict[str, Any]
    seconds: float | None = None
    """That the process took which finished it."""
    result: dict[str, Any] | None = None
    """``None`` where the stage was begun and not finished."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Cases and volumes that it went on without, each with the reason."""


class Listener(Protocol):
    """Whoever follows a study."""

    def plan(self, stages: Sequence[StudyStep], finished: set[str]) -> None:
        """Called once, before anything is done; ``finished`` are keys."""

    def stage(self, stage: StudyStep, number: int, total: int) -> AbstractContextManager[OnProgress]:
        """Around the work on a stage, the ``number``-th of ``total`` that are left; gives what is called as it goes."""


class Silent:
    """Follows nothing."""

    def plan(self, stages: Sequence[StudyStep], finished: set[str]) -> None:
        """Nothing."""

    @contextmanager
    def stage(self, stage: StudyStep, number: int, total: int) -> Iterator[OnProgress]:
        """Nothing around the work."""
        yield lambda done, total: None


class Stages:
    """Does the stages of a plan, or reads what they left.

    Args:
        folder: of the study.
        plan: every stage of it.
        listener: follows them.
    """

    def __init__(self, folder: Path, plan: Sequence[StudyStep], listener: Listener) -> None:
        self.folder, self._listener = folder, listener
        self._planned = {stage.key: stage for stage in plan}
        applies = [stage.key for stage in plan if stage.why_not is None]
        finished = {key for key in applies if _is_finished(folder / key)}
        self._left = [key for key in applies if key not in finished]
        self._weights: dict[str, tuple[str, str]] = {}
        """Of each key of weights the fingerprint that was met first, and the stage that it was met in."""
        self.seconds: dict[str, float] = {}
        """That each finished stage took."""
        self.left_out: dict[str, str] = {}
        """What the stages so far went on without, each with the reason."""
        self._left_out_now: dict[str, str] = {}
        """The same of the stage in hand."""
        listener.plan(plan, finished)

    def applies(self, key: str) -> bool:
        """Whether a stage is in the plan and not left out."""
        return key in self._planned and self._planned[key].why_not is None

    def leave_out(self, what: Mapping[str, str]) -> None:
        """Note what the stage in hand goes on without, each with the reason."""
        self._left_out_now |= what

    def checked(self, volumes: VolumeSet) -> VolumeSet:
        """A set without the volumes that cannot be used, which are noted. Raises InputError where none is left."""
        usable = volumes.checked()
        self.leave_out({f"{each.id} of {usable.name}": each.reason for each in usable.left_out})
        return usable

    def done(
        self,
        key: str,
        made_with: Mapping[str, Any],
        kind: type[StepResult],
        work: Work[StepResult],
        *,
        may_change: tuple[str, ...] = (),
        weights: Fingerprints = no_weights,
    ) -> StepResult:
        """The result of a stage: what it left where it was finished, otherwise the work is done now.

        A stage that was begun and not finished may go on with corrected settings: nothing came of the former ones, and
        the work itself refuses what it cannot go on with, as a training does.

        Args:
            key: of the plan.
            made_with: all that the result depends on, as JSON has it.
            kind: of the result.
            work: see ``Work``.
            may_change: beginnings of keys of ``made_with`` that change nothing in the result.
            weights: of the networks that the work measures with; part of ``made_with`` that is known after the work.

        Raises:
            InputError: the result in the folder was made with something else, every difference is named; or an earlier
                stage was measured with other weights.
            SaveError: the disk refuses.
        """
        folder = self.folder / key
        now: dict[str, Any] = json.loads(json.dumps(made_with, default=str))
        record = _read_record(folder)
        if record is None or record.result is None:
            record = self._do(self._planned[key], folder, now, work, weights)
        else:
            known = weights()
            # Weights that are gone are not made again for the sake of a finished stage.
            unknown = tuple(WEIGHTS_KEYS - known.keys())
            refuse_other(folder, record.made_with, now | known, what=MADE_OTHERWISE, may_change=may_change + unknown)
        self._refuse_mixed_weights(key, record.made_with)
        self.seconds[key] = record.seconds or 0.0
        self.left_out |= record.left_out
        try:
            return kind.model_validate(record.result)
        except ValidationError as error:
            raise InputError(f"{folder / STAGE_NAME} is damaged; remove that folder to have it made anew.") from error

    def _do(
        self, stage: StudyStep, folder: Path, made_with: dict[str, Any], work: Work[StepResult], weights: Fingerprints
    ) -> StageRecord:
        prepare_folder(folder)
        write_json(folder / STAGE_NAME, StageRecord(made_with=made_with))
        started = time.monotonic()
        # A process has one precision for all its Accelerators, unless that is forgotten: each stage chooses its own, as
        # if it had a process to itself.
        AcceleratorState._reset_state()
        self._left_out_now = {}
        with self._listener.stage(stage, self._number(stage.key), len(self._left)) as on_progress:
            result = work(folder, on_progress)
        record = StageRecord(
            made_with={**made_with, **weights()},
            seconds=round(time.monotonic() - started, 1),
            result=result.model_dump(mode="json"),
            left_out=self._left_out_now,
        )
        write_json(folder / STAGE_NAME, record)
        return record

    def _refuse_mixed_weights(self, key: str, made_with: dict[str, Any]) -> None:
        """Raises InputError where two stages of the study were measured with different weights.

        That can be where weights that were not at hand for a finished stage were trained anew for this one.
        """
        for name, sha256 in flat({each: made_with[each] for each in WEIGHTS_KEYS & made_with.keys()}).items():
            before, other = self._weights.setdefault(name, (sha256, key))
            if before != sha256:
                raise InputError(
                    f"{other} and {key} were measured with different weights ({name} is {before} and {sha256}) and "
                    f"cannot be compared: remove {self.folder / other} to have it measured anew."
                )

    def _number(self, key: str) -> int:
        return self._left.index(key) + 1 if key in self._left else len(self._left)


def _is_finished(folder: Path) -> bool:
    record = _read_record(folder)
    return record is not None and record.result is not None


def _read_record(folder: Path) -> StageRecord | None:
    path = folder / STAGE_NAME
    try:
        return StageRecord.model_validate_json(read_bytes(path)) if path.exists() else None
    except (OSError, ValidationError) as error:
        raise InputError(f"{path} cannot be read; remove {folder} to have it made anew.") from error
