"""How the reports are worded that a model was trained on, so that a report is recognised which it never learnt to read.

A model answers any text. What it reads from one in other words, or in another language, is a guess that looks like all
its other answers. So a model keeps which word follows which in its training reports, with every number as ``0``. A
report is *outside* if more of its word pairs are new than in nearly all training reports that were held out while that
was measured. It hangs on no tokenizer: a text encoder with a large vocabulary knows the words of a report that the
denoiser never saw.

Only what stands in the reports of several patients is kept, so that no name does. Needs no PyTorch.
"""

from __future__ import annotations

import math
import re
import shutil
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from ccella_core.config import StrictModel
from ccella_core.models.languages import language_of
from ccella_core.models.model import PROFILE, ModelFolder, load_config, write_model
from ccella_core.models.weights import CONFIG_NAME

WORD = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
BEGIN, NUMBER = "", "0"
LEAST_PATIENTS = 3
"""In whose reports a pair of words must stand to be kept."""
FEWEST_PATIENTS = 30
"""Below which nobody could say what is usual."""
FOLDS = 5
FALSE_ALARMS = 0.005
"""Of training reports that were held out: half of what is promised."""
LEAST_LIMIT = 0.05
"""A misspelt word in a report of forty is no other way of writing."""
MOST_NEW_WORDS = 4
"""That are named: enough to see what is meant."""

Pair = tuple[str, str]


class Wording(NamedTuple):
    """How a report is worded, seen from a model."""

    new_share: float
    """Of its word pairs, 0 … 1: those that the model has not learnt from."""
    is_outside: bool
    new_words: tuple[str, ...]
    """The first few that stand in no training report."""
    language: str | None
    """The report's, if it is outside and in another one than the training reports."""
    model_language: str | None

    @property
    def warning(self) -> str | None:
        """What to say of it in one sentence; ``None`` where nothing is."""
        if not self.is_outside:
            return None
        if self.language is not None:
            known = f"reports in {self.model_language}" if self.model_language else "others"
            return (
                f"The report seems to be in {self.language}, and the model has learnt from {known}: what it reads from "
                "it may be wrong."
            )
        words = f"; new words: {', '.join(self.new_words)}" if self.new_words else ""
        return (
            "The report is worded unlike those that the model has learnt from "
            f"({self.new_share:.0%} of its word pairs are new{words}): what it reads from it may be wrong."
        )


class ReportProfile(StrictModel):
    """What a model keeps of the reports that it was trained on."""

    reports: int = Field(ge=1, description="of which it was made")
    language: str | None = Field(None, description="of most of them, in English, where it could be told")
    limit: float = Field(ge=0, le=1, description="the largest share of new word pairs that is usual")
    follows: dict[str, tuple[str, ...]] = Field(description="for each word those that follow it; '' begins a report")

    @classmethod
    def of(cls, patients: Iterable[Sequence[str]]) -> ReportProfile | None:
        """The profile of reports, given by patient.

        Args:
            patients: for each patient all reports, in all wordings.

        Returns:
            ``None`` for fewer than FEWEST_PATIENTS with a report.
        """
        groups = [tuple(reports) for reports in patients if reports]
        if len(groups) < FEWEST_PATIENTS:
            return None
        found = [set().union(*map(_pairs, reports)) for reports in groups]
        counts = Counter(pair for pairs in found for pair in pairs)
        shares: list[float] = []
        for fold in range(FOLDS):
            own = Counter(pair for pairs in found[fold::FOLDS] for pair in pairs)
            known = {pair for pair, count in counts.items() if count - own[pair] >= LEAST_PATIENTS}
            shares += [_new_share(_pairs(report), known) for reports in groups[fold::FOLDS] for report in reports]
        usual = sorted(shares)[math.ceil((1 - FALSE_ALARMS) * len(shares)) - 1]
        follows: defaultdict[str, list[str]] = defaultdict(list)
        for first, second in sorted(pair for pair, count in counts.items() if count >= LEAST_PATIENTS):
            follows[first].append(second)
        languages = Counter(language_of(report) for reports in groups for report in reports)
        return cls(
            reports=len(shares),
            language=languages.most_common(1)[0][0],
            limit=max(LEAST_LIMIT, usual),
            follows={first: tuple(seconds) for first, seconds in follows.items()},
        )

    def wording(self, report: str) -> Wording:
        """How a report is worded. One that is empty, or not yet a word, is not outside."""
        pairs = _pairs(report)
        share = _new_share(pairs, self._known)
        outside = share > self.limit
        words = dict.fromkeys(second for _, second in pairs if second.isalpha() and second not in self._words)
        language = language_of(report) if outside else None
        return Wording(
            new_share=share,
            is_outside=outside,
            new_words=tuple(words)[:MOST_NEW_WORDS],
            language=None if language == self.language else language,
            model_language=self.language,
        )

    @cached_property
    def _known(self) -> frozenset[Pair]:
        return frozenset((first, second) for first, seconds in self.follows.items() for second in seconds)

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(second for seconds in self.follows.values() for second in seconds)


def read_profile(model: ModelFolder) -> ReportProfile | None:
    """Of a model that has one. Raises ModelError where it is damaged."""
    return load_config(ReportProfile, model.component_path(PROFILE)) if PROFILE in model.index.components else None


def write_profile(profile: ReportProfile, folder: Path) -> None:
    """Into the folder of the component. ``OSError`` passes through."""
    (folder / CONFIG_NAME).write_text(profile.model_dump_json() + "\n", encoding="utf-8", newline="\n")


def add_profile(model: ModelFolder, profile: ReportProfile) -> ModelFolder:
    """Give a profile to a model that was made without, or another one; all else stays, its hash as well.

    Raises:
        ModelError: the model is not whole.
        SaveError: the disk refuses; then the model is as it was.
    """
    model.verify()
    others = {name: kind for name, kind in model.index.components.items() if name != PROFILE}
    writers: dict[str, Callable[[Path], None]] = {PROFILE: partial(write_profile, profile)}
    writers.update((name, partial(_copy, model.component_path(name))) for name in others)
    index = model.index.model_copy(update={"components": {**others, PROFILE: ReportProfile.__name__}})
    return write_model(model.path, index, writers, overwrite=True)


def _copy(source: Path, to: Path) -> None:
    shutil.copytree(source, to, dirs_exist_ok=True)


def _pairs(report: str) -> list[Pair]:
    # No pair for the end: a report that is still being typed is none that is worded otherwise.
    words = [NUMBER if word[0].isdigit() else word for word in WORD.findall(_folded(report))]
    return list(zip((BEGIN, *words), words, strict=False))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _new_share(pairs: Sequence[Pair], known: Iterable[Pair]) -> float:
    return sum(pair not in known for pair in pairs) / len(pairs) if pairs else 0.0
