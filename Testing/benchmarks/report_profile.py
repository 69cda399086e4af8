"""How often a model is right about reports that are worded unlike those it has learnt from, for docs/reports.md.

    python Testing/benchmarks/report_profile.py

Takes a minute of one core. Everything is drawn from fixed seeds; other people's texts lie in Testing/models.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

sys.path.append(str(Path(__file__).parents[1] / "models"))
from foreign_reports import ALL, BY_LANGUAGE, ENGLISH, LATER

from ccella_core.models.languages import language_of
from ccella_core.models.report_profile import ReportProfile, read_profile
from ccella_core.models.search import resolve_model
from ccella_core.phantom.patient import draw_findings
from ccella_core.phantom.report import StyleChoice, write_report
from ccella_core.report_page import markdown_table

NEW_PATIENTS = 40_000
"""The first of those whom no training and no profile has seen."""
HELD_OUT, ANY = "held-out", "any"
TRAINING_STYLES = [style for style in get_args(StyleChoice) if style not in (HELD_OUT, ANY)]
OTHERS = ALL[len(ENGLISH) :]


def reports(patients: Iterable[int], style: StyleChoice) -> list[str]:
    """One of each patient."""
    return [write_report(draw_findings(seed), seed=seed, style=style) for seed in patients]


def new_reports(count: int, style: StyleChoice) -> list[str]:
    """Of patients whom no profile has seen."""
    return reports(range(NEW_PATIENTS, NEW_PATIENTS + count), style)


def outside(profile: ReportProfile, texts: Iterable[str]) -> str:
    """How many of how many are said to be outside."""
    found = [profile.wording(text).is_outside for text in texts]
    return f"{sum(found)} of {len(found)}"


def with_a_foreign_sentence(own: list[str]) -> list[str]:
    """Each with one sentence out of other people's English reports at its end."""
    sentences = [each for report in ENGLISH for each in re.split(r"(?<=\.)\s+", report) if len(each.split()) > 1]
    rng = random.Random(0)
    return [f"{report} {rng.choice(sentences)}" for report in own]


def of_one_style(profile: ReportProfile, count: int) -> list[list[str]]:
    """Rows of a model that has learnt from reports of the classic style alone."""
    named = [(language, language_of(text)) for language, texts in BY_LANGUAGE.items() for text in texts]
    later = [(language, language_of(text)) for language, text in LATER]
    wrong = sum(found is not None and language not in found for language, found in later)
    own = new_reports(count, "classic")
    return [
        ["new reports in the model's own style", outside(profile, own)],
        ["English reports in other people's words", outside(profile, ENGLISH)],
        ["reports in other languages, and texts of other organs or none", outside(profile, OTHERS)],
        ["one English sentence of others added to an own report", outside(profile, with_a_foreign_sentence(own))],
        ["language named rightly", f"{sum(a in (b or '') for a, b in named)} of {len(named)}"],
        ["the same, texts written after its words were chosen",
         f"{sum(a in (b or '') for a, b in later)} of {len(later)}, {wrong} wrongly"],
    ]  # fmt: skip


def of_all_styles(patients: int, count: int) -> list[list[str]]:
    """Rows of a profile made of every style that the phantom writes for training, one report a patient."""
    profile = ReportProfile.of([report] for report in reports(range(patients), ANY))
    assert profile is not None
    texts = {"English reports in other people's words": ENGLISH, "all other texts": ALL}
    missed = [text for text in ALL if not profile.wording(text).is_outside]
    return [
        ["limit", f"{profile.limit:.0%}"],
        *([f"new reports, {style}", outside(profile, new_reports(count, style))] for style in TRAINING_STYLES),
        [f"new reports, {HELD_OUT}", outside(profile, new_reports(count, HELD_OUT))],
        *([name, outside(profile, each)] for name, each in texts.items()),
        *([f"missed: {text[:60]}", f"{profile.wording(text).new_share:.0%} of its pairs are new"] for text in missed),
    ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ccella-demo", help="of one style")
    parser.add_argument("--count", type=int, default=5000, help="new reports in the model's own style")
    parser.add_argument("--patients", type=int, default=1000, help="of the profile of all styles")
    arguments = parser.parse_args()
    profile = read_profile(resolve_model(arguments.model))
    if profile is None:
        parser.error(f"{arguments.model} has no profile of its reports")
    print(markdown_table([arguments.model, "outside"], of_one_style(profile, arguments.count)))
    few = ReportProfile.of([report] for report in reports(range(60), "classic"))
    assert few is not None
    print(f"\nOf 60 patients, limit {few.limit:.0%}: {outside(few, new_reports(1000, 'classic'))} own, "
          f"{outside(few, ALL)} others\n")  # fmt: skip
    print(markdown_table(["all styles", "outside"], of_all_styles(arguments.patients, count=300)))


if __name__ == "__main__":
    main()
