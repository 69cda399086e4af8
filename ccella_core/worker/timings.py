"""How long runs took on this computer, kept in a file from one session to the next."""

from __future__ import annotations

import logging
from pathlib import Path

import platformdirs
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, TypeAdapter, ValidationError

from ccella_core.files import whole_file

FILE_NAME = "timings.json"
MAX_TIMINGS = 200
"""More models, devices and shapes than anybody uses; the oldest go first."""

logger = logging.getLogger(__name__)


class Timing(BaseModel):
    """Seconds that the parts of a run took."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    load: NonNegativeFloat
    encode: NonNegativeFloat
    step: NonNegativeFloat
    """One evaluation of the U-Net for one volume; guidance needs two a step."""
    decode: NonNegativeFloat
    """One sequence or label of one examination."""


_TIMINGS = TypeAdapter(dict[str, Timing])


class Timings:
    """The last measured run of each model, device and shape.

    A file that cannot be read counts as empty, one that cannot be written costs an estimate and never a run.

    Args:
        path: ``None`` for the file in the user's cache folder.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or platformdirs.user_cache_path("ccella", appauthor=False) / FILE_NAME

    def find(self, model_sha256: str, device: str, shape: tuple[int, int, int]) -> Timing | None:
        """The last run, if there was one."""
        return self._read().get(_key(model_sha256, device, shape))

    def keep(self, model_sha256: str, device: str, shape: tuple[int, int, int], timing: Timing) -> None:
        """Replace the last run by ``timing``."""
        key = _key(model_sha256, device, shape)
        timings = self._read()
        timings.pop(key, None)  # so that it moves to the end, where the newest are
        newest = dict([*timings.items(), (key, timing)][-MAX_TIMINGS:])
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self._path) as temporary:
                temporary.write_bytes(_TIMINGS.dump_json(newest, indent=1))
        except OSError as error:
            logger.warning("Measured times are not kept in %s: %s", self._path, error)

    def _read(self) -> dict[str, Timing]:
        try:
            return _TIMINGS.validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            return {}


def _key(model_sha256: str, device: str, shape: tuple[int, int, int]) -> str:
    return f"{model_sha256} {device} {'x'.join(map(str, shape))}"
