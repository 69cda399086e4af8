"""A reader study on the disk: its cases, the key that says which are synthetic, and a sheet of answers a reader.

Standard library only: the Slicer module writes these files where nothing else is installed.

``study.json`` names the cases and holds nothing of the truth; ``key.json`` holds it, and where the volumes are;
``answers/NAME.json`` is written after every answer.
"""

from __future__ import annotations

import json
import math
import random
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ccella_core.errors import InputError
from ccella_core.files import read_text, write_json

Design = Literal["single", "pairs"]
"""Each case is one volume, or a synthetic and a real one side by side."""
STUDY_NAME, KEY_NAME, ANSWERS = "study.json", "key.json", "answers"
FORMAT, FORMAT_VERSION = "ccella-reader-study", 1
LEAST, MOST = 1, 5
"""Of confidence, quality and PI-RADS."""
READER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}")


@dataclass(frozen=True)
class StudyCase:
    """What is shown at once.

    ``volumes`` says where one, or two from left to right, are found, in words of whoever shows them; ``is_synthetic``
    whether the volume is synthetic, or of a pair the left one.
    """

    name: str
    volumes: tuple[str, ...]
    is_synthetic: bool


@dataclass(frozen=True)
class Answer:
    """What a reader said of a case."""

    case: str
    says_synthetic: bool
    """Of a pair: that the left one is."""
    confidence: int
    """1 (a guess) … 5 (sure)."""
    quality: int
    """1 … 5, as PI-QUAL's first version has it: from 3 on enough for reading. Of a pair, of the left one."""
    pirads: int | None
    """1 … 5, of the volume, or of the left one; ``None``: not said."""
    location: tuple[float, float, float] | None
    """Where the reader clicked on a lesion, RAS mm; ``None``: nowhere."""
    seconds: float
    """From the moment that the case was shown."""


@dataclass(frozen=True)
class ReaderStudy:
    """A study in a folder, as it was made; ``id`` is what answers belong to."""

    folder: Path
    id: str
    design: Design
    cases: tuple[StudyCase, ...]

    @classmethod
    def make(
        cls, folder: Path, synthetic: Sequence[str], real: Sequence[str], *, design: Design, seed: int | None = None
    ) -> ReaderStudy:
        """Begin a study in a folder that has none, with its cases in a random order under names that say nothing.

        Args:
            folder: made if needed.
            synthetic: where the synthetic volumes are.
            real: where the real ones are; for pairs as many, the first goes with the first.
            design: whether volumes are shown alone or in pairs.
            seed: of the order; by default a new one.

        Raises:
            InputError: no synthetic or no real volume, one that is named twice, pairs that do not come out even, or a
                folder that holds a study.
            SaveError: the disk refuses.
        """
        for kind, volumes in (("synthetic", synthetic), ("real", real)):
            if not volumes:
                raise InputError(f"The study has no {kind} case; give at least one of each kind.")
        if len({*synthetic, *real}) < len(synthetic) + len(real):
            raise InputError("A volume is in the study twice; give each of them once.")
        if design == "pairs" and len(synthetic) != len(real):
            raise InputError(
                f"There are {len(synthetic)} synthetic and {len(real)} real volumes; for pairs give as many of each."
            )
        if (folder / STUDY_NAME).exists():
            raise InputError(f"{folder} holds a study already; go on with it, or choose another folder.")
        chance = random.Random(seed)
        shown: list[tuple[tuple[str, ...], bool]]
        if design == "single":
            shown = [*(((path,), True) for path in synthetic), *(((path,), False) for path in real)]
        else:
            sides = [True, False] * math.ceil(len(synthetic) / 2)  # left as often as right
            chance.shuffle(sides)
            shown = [
                ((drawn, taken) if left else (taken, drawn), left)
                for drawn, taken, left in zip(synthetic, real, sides, strict=False)
            ]
        chance.shuffle(shown)
        digits = len(str(len(shown)))
        cases = tuple(
            StudyCase(f"case {number:0{digits}}", volumes, is_synthetic)
            for number, (volumes, is_synthetic) in enumerate(shown, start=1)
        )
        study = cls(folder, uuid.uuid4().hex, design, cases)
        key = {"study": study.id, "cases": [asdict(case) for case in cases]}
        write_json(folder / KEY_NAME, key)
        # The last, so that a study without its key never stands there.
        names = [case.name for case in cases]
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, "id": study.id, "design": design, "cases": names}
        write_json(folder / STUDY_NAME, content)
        return study

    @classmethod
    def open(cls, folder: Path) -> ReaderStudy:
        """Raises InputError where there is no study, it is damaged, or its key is that of another one."""
        content, key = _read(folder / STUDY_NAME), _read(folder / KEY_NAME)
        if content.get("format") != FORMAT or content.get("format_version") != FORMAT_VERSION:
            raise InputError(f"{folder / STUDY_NAME} is not a reader study that this version can read.")
        if key.get("study") != content.get("id"):
            raise InputError(f"{folder / KEY_NAME} is the key of another study.")
        try:
            cases = tuple(
                StudyCase(each["name"], tuple(each["volumes"]), _checked(bool, each["is_synthetic"]))
                for each in key["cases"]
            )
            study = cls(folder, content["id"], content["design"], cases)
            of_key, of_study = [case.name for case in cases], content["cases"]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"The study in {folder} is damaged: {error!r}.") from error
        if of_key != of_study or not cases or study.design not in ("single", "pairs"):
            raise InputError(f"The study in {folder} is damaged: its key does not fit its cases.")
        return study

    def order(self, reader: str) -> list[StudyCase]:
        """The cases in this reader's own order, the same whenever the reader comes back."""
        cases = list(self.cases)
        random.Random(f"{self.id}/{reader}").shuffle(cases)
        return cases

    def readers(self) -> list[str]:
        """Those who have begun."""
        return sorted(path.stem for path in (self.folder / ANSWERS).glob("*.json") if not path.name.startswith("."))

    def answers(self, reader: str) -> list[Answer]:
        """What a reader has answered so far; nothing of one who has not begun.

        Raises:
            InputError: a name that cannot be used, or a file that is damaged or of another study.
        """
        path = self._sheet(reader)
        if not path.exists():
            return []
        content = _read(path)
        if content.get("study") != self.id:
            raise InputError(f"{path} holds answers of another study.")
        try:
            answers = [_answer(each) for each in content["answers"]]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is damaged: {error!r}.") from error
        known, answered = {case.name for case in self.cases}, [each.case for each in answers]
        if unknown := sorted(set(answered) - known):
            raise InputError(f"{path} answers {unknown[0]}, which the study does not have.")
        if len(set(answered)) < len(answered):
            raise InputError(f"{path} answers a case twice.")
        return answers

    def next_case(self, reader: str) -> StudyCase | None:
        """The first that a reader has not answered; ``None`` after the last."""
        answered = {each.case for each in self.answers(reader)}
        return next((case for case in self.order(reader) if case.name not in answered), None)

    def save(self, reader: str, answer: Answer) -> None:
        """Add an answer to a reader's sheet, which is then on the disk, whole.

        Raises:
            InputError: an answer that is none, a case that the study does not have or that is answered already.
            SaveError: the disk refuses; the sheet is as before.
        """
        try:
            answer = _answer(asdict(answer))
        except (TypeError, ValueError) as error:
            raise InputError(f"That is no answer: {error}.") from error
        before = self.answers(reader)
        if answer.case not in {case.name for case in self.cases}:
            raise InputError(f"The study has no {answer.case}.")
        if answer.case in {each.case for each in before}:
            raise InputError(f"{reader} has answered {answer.case} already.")
        answer = replace(answer, seconds=round(answer.seconds, 1))
        sheet = {"study": self.id, "reader": reader, "answers": [asdict(each) for each in [*before, answer]]}
        write_json(self._sheet(reader), sheet)

    def _sheet(self, reader: str) -> Path:
        if not READER_NAME.fullmatch(reader) or reader.endswith((" ", ".")):
            raise InputError(
                f"A reader's name has up to 40 letters, digits, spaces, dots and hyphens, unlike {reader!r}."
            )
        return self.folder / ANSWERS / f"{reader}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: {path.parent} is not the folder of a reader study.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged: it is not a JSON object.")
    return content


def _answer(content: Mapping[str, Any]) -> Answer:
    """Raises KeyError, TypeError or ValueError where it is none."""
    location, pirads = content["location"], content["pirads"]
    if location is not None and not (
        len(location) == 3 and all(isinstance(each, (int, float)) and math.isfinite(each) for each in location)
    ):
        raise ValueError(f"the location is three numbers, not {location!r}")
    seconds = content["seconds"]
    if isinstance(seconds, bool) or not (isinstance(seconds, (int, float)) and 0 <= seconds < math.inf):
        raise ValueError(f"seconds are a number from 0 up, not {seconds!r}")
    return Answer(
        case=_checked(str, content["case"]),
        says_synthetic=_checked(bool, content["says_synthetic"]),
        confidence=_graded("confidence", content["confidence"]),
        quality=_graded("quality", content["quality"]),
        pirads=None if pirads is None else _graded("PI-RADS", pirads),
        location=None if location is None else (float(location[0]), float(location[1]), float(location[2])),
        seconds=float(seconds),
    )


def _checked(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is not a {kind.__name__}")
    return value


def _graded(what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not LEAST <= value <= MOST:
        raise ValueError(f"{what} is a whole number from {LEAST} to {MOST}, not {value!r}")
    return value
