"""Whether a report is worded as those of a model's training: what is outside is found, what is not is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from foreign_reports import ALL, BY_LANGUAGE, ENGLISH, LATER

from ccella_core.errors import ModelError
from ccella_core.models.languages import language_of
from ccella_core.models.model import ModelFolder
from ccella_core.models.report_profile import FEWEST_PATIENTS, ReportProfile, add_profile, read_profile
from ccella_core.phantom.patient import draw_findings
from ccella_core.phantom.report import write_report

DEMO = Path(__file__).parents[2] / "Resources" / "Models" / "ccella-demo"
NEW_PATIENTS = range(40_000, 41_000)  # whom no training and no profile has seen


@pytest.fixture(scope="module")
def of_demo() -> ReportProfile:
    profile = read_profile(ModelFolder.open(DEMO))
    assert profile is not None
    return profile


def patients(count: int) -> list[list[str]]:
    return [[write_report(draw_findings(seed), seed=2 * seed + one) for one in range(2)] for seed in range(count)]


@pytest.mark.medium
def test_the_rates_that_the_docs_state(of_demo):
    """False alarms on the model's own style, and what is found of other people's reports."""
    own = [write_report(draw_findings(seed), seed=seed) for seed in NEW_PATIENTS]
    assert sum(of_demo.wording(report).is_outside for report in own) <= 0.01 * len(own)
    # What a model of several styles has learnt is no longer foreign to it, such as a report of one short sentence.
    assert sum(of_demo.wording(report).is_outside for report in ENGLISH) >= 0.8 * len(ENGLISH)
    assert sum(of_demo.wording(report).is_outside for report in ALL) >= 0.9 * len(ALL)


@pytest.mark.parametrize("language", BY_LANGUAGE)
def test_another_language_is_named(of_demo, language):
    for report in BY_LANGUAGE[language]:
        wording = of_demo.wording(report)
        assert wording.is_outside and wording.language is not None and wording.language.startswith(language)
        assert f"seems to be in {wording.language}, and the model has learnt from reports in English" in wording.warning


def test_what_is_new_is_said_in_a_sentence(of_demo):
    wording = of_demo.wording("Torn medial meniscus of the left knee. Small joint effusion. No fracture.")
    assert wording.new_words == ("torn", "medial", "meniscus", "knee") and wording.language is None
    assert "is worded unlike those that the model has learnt from (80% of its word pairs are new; new words: torn" in (
        wording.warning
    )
    assert of_demo.wording("").warning is None
    own = write_report(draw_findings(7), seed=7)
    assert of_demo.wording(own).warning is None
    for length in range(0, len(own), 10):
        typed = own[:length].rpartition(" ")[0]
        assert not of_demo.wording(typed).is_outside, "a report that is still being typed"


def test_numbers_are_all_alike_and_names_are_not_kept():
    names = [f"Nobody{chr(97 + each % 26)}{chr(97 + each // 26)}" for each in range(40)]
    profile = ReportProfile.of([f"Mr. {name} has a lesion of {size} mm." for size in range(9)] for name in names)
    assert "nobody" not in profile.model_dump_json() and "8" not in profile.follows
    assert profile.follows["lesion"] == ("of",) and profile.follows["of"] == ("0",)
    assert not profile.wording("Mr. Somebody has a lesion of 77 mm.").is_outside


def test_the_limit_follows_the_reports():
    """Reports that differ more among themselves are given more room; too few give no profile."""
    assert ReportProfile.of(patients(FEWEST_PATIENTS - 1)) is None
    assert ReportProfile.of([[]] * 100) is None
    few, many = ReportProfile.of(patients(FEWEST_PATIENTS)), ReportProfile.of(patients(200))
    assert few.limit > many.limit == 0.05
    assert few.language == "English" and few.reports == 2 * FEWEST_PATIENTS


def test_a_model_gets_a_profile_and_stays_the_same(own_pipeline, tmp_path):
    model = own_pipeline.save_pretrained(tmp_path / "tiny")
    weights = dict(model.index.sha256)
    assert read_profile(model) is None
    profile = ReportProfile.of(patients(FEWEST_PATIENTS))
    changed = add_profile(model, profile)
    assert changed.sha256 == model.sha256, "volumes that were made before are traced to the same model"
    assert changed.index.sha256.items() >= weights.items()
    changed.verify()
    assert read_profile(ModelFolder.open(tmp_path / "tiny")) == profile
    loaded = type(own_pipeline).from_pretrained(tmp_path / "tiny", device="cpu")
    assert loaded.report_profile == profile
    assert read_profile(loaded.save_pretrained(tmp_path / "again")) == profile
    file = tmp_path / "tiny" / "report_profile" / "config.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**content, "limit": 7}), encoding="utf-8")
    with pytest.raises(ModelError, match="limit"):
        read_profile(changed)
    with pytest.raises(ModelError, match="altered"):
        changed.verify()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The prostate is enlarged.", "English"),
        ("PI-RADS 4.", None),
        ("", None),
        ("ADC 700 µm²/s, Δ 3", None),
        ("Es zeigt sich kein Herd.", "German"),
    ],
)
def test_a_language_is_named_where_words_decide(text, language):
    assert language_of(text) == language


def test_texts_that_the_words_were_not_chosen_by():
    named = [(language, language_of(text)) for language, text in LATER]
    assert [pair for pair in named if pair[1] is not None and pair[0] not in pair[1]] == []
    assert sum(found is not None for _, found in named) >= 15
