"""Reports in other people's ways: they state the facts and no other, mirror word by word, and vary."""

import re

import pytest

from ccella_core.phantom import held_out_style, phrasing, report, report_styles
from ccella_core.phantom.fields import StructuredFields
from ccella_core.phantom.findings import Findings, Lesion
from ccella_core.phantom.known_report import kind_of_scan, write_known_report
from ccella_core.phantom.patient import draw_findings
from ccella_core.phantom.report import STYLES, TRAINING_STYLES, write_report
from ccella_core.training.data.mirror import mirrored_report

FULL = ("structured", "telegram", "narrative", "held-out")  # short leaves out what people leave out
DRAWN = [draw_findings(seed) for seed in range(150)]
LENGTHS = re.compile(r"(\d+(?:\.\d+)?(?:\s?(?:x|×|by)\s?\d+(?:\.\d+)?)*) (cm|mm)\b")


def lengths_mm(text: str) -> set[int]:
    found = set()
    for numbers, unit in LENGTHS.findall(text.lower()):
        found |= {round(float(each) * (10 if unit == "cm" else 1)) for each in re.findall(r"[\d.]+", numbers)}
    return found


def sides(text: str) -> set[str]:
    found = re.findall(r"(?<![\w/])(left|right|lt|rt|l|r)(?![\w/])", text.lower())
    return {"left" if side[0] == "l" else "right" for side in found}


@pytest.mark.parametrize("style", [*TRAINING_STYLES, "held-out", "any"])
def test_the_report_of_the_mirrored_patient_is_the_mirrored_report(style):
    for seed, findings in enumerate(DRAWN):
        written = write_report(findings, seed=seed, style=style)
        assert write_report(findings.mirrored(), seed=seed, style=style) == mirrored_report(written)
        assert write_report(findings, seed=seed, style=style) == written


@pytest.mark.parametrize("style", FULL)
def test_every_fact_is_stated(style):
    scores = 0
    for seed, findings in enumerate(DRAWN):
        text = write_report(findings, seed=seed, style=style)
        volume = findings.gland_volume_ml
        assert re.search(rf"\b({volume:.0f}|{volume:.1f}) (ml|cc|cm3|cm³|cubic centimetres)", text.lower()), text
        for lesion in findings.lesions:
            assert {lesion.size_mm} <= lengths_mm(text), text
            assert lesion.side in sides(text), text
        scores += bool(re.search(rf"(pi-?rads|overall|grade)\D*( \(v2\.1\): grade )?{findings.pirads}\b", text.lower()))
    # The held-out style leaves the score to its words now and then.
    assert scores == len(DRAWN) or (style == "held-out" and scores > 0.9 * len(DRAWN))


@pytest.mark.parametrize("style", [*FULL, "short"])
def test_only_a_benign_nodule_may_lie_on_another_side(style):
    for seed, findings in enumerate(DRAWN):
        text = write_report(findings, seed=seed, style=style)
        stated = {lesion.side for lesion in findings.lesions} | ({findings.peripheral_change} - {"none", "both"})
        if sides(text) - stated:
            nodule = r"[^.]*(encapsulated|circumscribed|benign)[^.]*(\.\d[^.]*)*"
            assert sides(re.sub(nodule, "", text, flags=re.IGNORECASE)) <= stated, text
            assert findings.hyperplasia in ("moderate", "marked")


def test_negative_reports_call_nothing_suspicious():
    for seed, findings in enumerate(DRAWN):
        if findings.pathology == "negative":
            for style in TRAINING_STYLES:
                text = write_report(findings, seed=seed, style=style).lower()
                for denied in phrasing.NEGATIVE:
                    text = text.replace(denied.lower(), "")
                assert not re.search(r"pi-?rads( category| score)? [345]\b", text), text


def test_a_score_without_a_word_is_enough_and_so_is_a_word_without_a_score():
    texts = [write_report(one, seed=seed, style="short") for seed, one in enumerate(DRAWN * 4)]
    assert any(re.fullmatch(r"pi-?rads( category| score)? [12]\.", text.lower()) for text in texts)
    positive = [text for text, one in zip(texts, DRAWN * 4, strict=True) if one.pathology == "positive"]
    assert any("rads" not in text.lower() for text in positive)
    assert any("simulated" not in text.lower() for text in positive)
    assert max(len(text.split()) for text in texts) < 60


@pytest.mark.parametrize("style", [*TRAINING_STYLES, "held-out", "any"])
def test_what_kind_of_scan_it_is_can_be_said(style):
    for seed, findings in enumerate(DRAWN[:40]):
        text = write_report(findings, seed=seed, style=style, technique="3 T, no endorectal coil").lower()
        assert style in ("short", "any") or "3 t, no endorectal coil" in text
        assert "simulated" not in text


def test_most_reports_for_training_say_that_they_are_simulated():
    said = ["simulated" in write_report(one, seed=seed, style="any").lower() for seed, one in enumerate(DRAWN * 2)]
    assert 0.7 < sum(said) / len(said) < 0.95


def test_units_orders_and_capitals_vary():
    texts = [write_report(one, seed=seed, style="any") for seed, one in enumerate(DRAWN * 2)]
    together = "\n".join(texts)
    for word in ("mL", "cc", "ml", "cm3", "cm³", " mm", " cm", " x ", "×", " by "):
        assert word in together
    assert any(text == text.lower() for text in texts)
    assert any(text.find("IMPRESSION") in range(text.find("FINDINGS")) for text in texts)
    assert len(set(texts)) > 0.98 * len(texts)


def test_every_style_for_training_is_drawn_about_as_often_and_the_held_out_one_never(monkeypatch):
    drawn = []
    for style in STYLES:
        monkeypatch.setitem(STYLES, style, lambda say, style=style: drawn.append(style) or "")
    for seed in range(500):
        write_report(DRAWN[0], seed=seed, style="any")
    assert set(drawn) == set(TRAINING_STYLES) - {"classic"}
    assert all(70 < drawn.count(style) < 130 for style in set(drawn))
    assert 70 < 500 - len(drawn) < 130  # classic


def test_the_held_out_style_shares_no_wording_with_the_others():
    taught = {
        *phrasing.NEGATIVE, *report.NEGATIVE, *phrasing.WEDGES,
        *(words for score in phrasing.SUSPICIOUS.values() for words in score),
        *(words for grade in (*phrasing.HYPERPLASIA.values(), *report.HYPERPLASIA.values()) for words in grade),
        *(words for level in (*phrasing.LEVELS.values(), *report.LEVEL_WORDS.values()) for words in level),
    }  # fmt: skip
    held_out = {
        *held_out_style.NEGATIVE, *held_out_style.WEDGES, *held_out_style.HYPERPLASIA.values(),
        *(words for score in held_out_style.SUSPICIOUS.values() for words in score),
        *(words for level in held_out_style.LEVELS.values() for words in level),
    }  # fmt: skip
    assert not taught & held_out


def test_three_diameters_make_the_volume():
    say = phrasing.Phrasing(Findings(52, 5, 60, 1), phrasing.random.Random(3), None)
    say.centimetres = True
    wide, deep, high = (float(each) for each in re.findall(r"[\d.]+", say.gland_diameters()))
    assert 0.52 * wide * deep * high == pytest.approx(52, rel=0.03)
    assert wide > high > deep


def test_one_lesion_that_extends_is_said_to():
    findings = Findings(45, 9, 60, 5, (Lesion("left", "peripheral", "mid", 18, 5, extraprostatic=True),))
    for seed in range(30):
        for style in ("structured", "narrative", "telegram"):
            text = write_report(findings, seed=seed, style=style)
            assert not re.search(
                r"no (epe|ece|extra)|epe neg|capsule intact|: (none|absent)\. seminal", text.lower()
            ), text


def test_an_unknown_style_is_refused():
    with pytest.raises(ValueError, match="style must be one of classic, structured"):
        write_report(DRAWN[0], style="poem")
    assert report_styles.short is STYLES["short"]


@pytest.mark.parametrize("style", ["telegram", "short"])
def test_notes_have_single_letters_for_sides_now_and_then_and_their_mirror_follows(style):
    letters = 0
    for seed, findings in enumerate(DRAWN * 2):
        text = write_report(findings, seed=seed, style=style)
        if not re.search(r"(?<![\w/])[LlRr](?![\w/])", text):
            continue
        letters += 1
        mirrored = write_report(findings.mirrored(), seed=seed, style=style)
        assert mirrored_report(text) == mirrored != text
    assert 0.05 < letters / (2 * len(DRAWN)) < 0.3
    together = " ".join(write_report(one, seed=seed, style=style) for seed, one in enumerate(DRAWN * 2))
    assert all(re.search(rf"\b{side}\b", together) for side in ("left", "lt", "Lt", "L", "l", "R", "Rt", "rt"))


@pytest.mark.parametrize("style", ["structured", "narrative", "classic", "held-out"])
def test_whole_sentences_have_no_single_letters_for_sides(style):
    for seed, findings in enumerate(DRAWN):
        assert not re.search(r"\b[LR]\b", write_report(findings, seed=seed, style=style))


@pytest.mark.parametrize(
    ("technique", "kind"),
    [
        ("1.5 T with endorectal coil, Philips Achieva", "with endorectal coil"),
        ("3 T, no endorectal coil", "no endorectal coil"),
        ("Siemens Skyra, 3 T", None),
        (None, None),
    ],
)
def test_the_kind_of_scan_is_what_the_technique_says(technique, kind):
    known = StructuredFields(age_years=60, gland_volume_ml=40)
    assert {kind_of_scan(write_known_report(known, seed=seed, technique=technique)) for seed in range(40)} == {kind}


def test_the_phantom_s_styles_say_simulated_or_nothing():
    said = [kind_of_scan(write_report(each, seed=seed, style="structured")) for seed, each in enumerate(DRAWN)]
    assert set(said) == {"simulated", None} and said.count("simulated") > len(said) / 2
    assert {kind_of_scan(write_report(each, style="classic")) for each in DRAWN} == {None}
