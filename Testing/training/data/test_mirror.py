"""The report of a mirror image: what is surely a side is exchanged, and what is not sure is not mirrored."""

from __future__ import annotations

import pytest

from ccella_core.phantom.patient import draw_findings
from ccella_core.phantom.report import write_report
from ccella_core.training.data.mirror import mirrored_report


@pytest.mark.parametrize(
    ("report", "mirrored"),
    [
        ("Left peripheral zone, RIGHT base, lt apex.", "Right peripheral zone, LEFT base, rt apex."),
        ("cleft, bright, alright", "cleft, bright, alright"),
        ("", ""),
        ("18 mm lesion, L PZ mid.", "18 mm lesion, R PZ mid."),
        ("LPZ 12 mm; RPZ normal.", "RPZ 12 mm; LPZ normal."),
        ("Status post RT; left apex.", "Status post RT; right apex."),
        ("Prior RT. Lesion in the left apex.", "Prior RT. Lesion in the right apex."),
        ("No lesion left after treatment.", "No lesion left after treatment."),
        ("The nodule was left untreated; right base.", "The nodule was left untreated; left base."),
        ("Lesion on the left.", "Lesion on the right."),
        ("Left-sided lesion, left > right.", "Right-sided lesion, right > left."),
        ("Leftward bulge of the rightmost nodule.", "Rightward bulge of the leftmost nodule."),
        ("Lt. apex (R).", "Rt. apex (L)."),
        ("R>L asymmetry, B/L SV clear, L5 intact, R0.", "L>R asymmetry, B/L SV clear, L5 intact, R0."),
        ("PZ left 8 mm, LEFT: none, Right: none", "PZ right 8 mm, RIGHT: none, Left: none"),
        ("At 3 o'clock, 5-6 o'clock, and 12 o’clock.", "At 9 o'clock, 6-7 o'clock, and 12 o’clock."),
        ("RMPZ and Lbase, LAFS", "LMPZ and Rbase, RAFS"),
        ("Left and right lobes; right 8 mm; Left (apex)", "Right and left lobes; left 8 mm; Right (apex)"),
        ("Left apex, ADC 700 μm²/s.", "Right apex, ADC 700 μm²/s."),
        ("The right lobe is larger than the left.", "The left lobe is larger than the right."),
        ("PZ: L 8mm, R 9mm; mid-L", "PZ: R 8mm, L 9mm; mid-R"),
        ("It forms a right angle with the rectum.", "It forms a right angle with the rectum."),
        ("12 mm lesion l PZ; r base pz clear; tz l.", "12 mm lesion r PZ; l base pz clear; tz r."),
        ("L base PZ 9 mm nodule, R TZ clear, Rt apex, Lt mid", "R base PZ 9 mm nodule, L TZ clear, Lt apex, Rt mid"),
        ("in the l transition zone, psa 5 ng/l", "in the r transition zone, psa 5 ng/l"),
        ("PSA 5 ug/L, volume 0.04 L; L PZ 8 mm.", "PSA 5 ug/L, volume 0.04 L; R PZ 8 mm."),
    ],
)
def test_sides_are_exchanged(report, mirrored):
    assert mirrored_report(report) == mirrored
    assert mirrored_report(mirrored) == report


@pytest.mark.parametrize(
    "report",
    [
        "Läsion links apikal.",
        "Lésion de la zone périphérique gauche.",
        "Lesión en la zona periférica derecha.",
        "Zmiana po stronie lewej.",
        "Очаг в левой доле.",
        "左葉に病変。",
        "Unauffälliger Befund der Prostata, kein Hinweis auf einen Herd.",  # no side that we know of, and no English
        "RT was given.",
        "What is left of the transition zone.",
        "Lesion left.",
        "He left the hospital.",
        "L-spine degeneration.",
        "Lesion at 3:30 o'clock.",
        "Lesion turning clockwise.",
        "Lft apex.",
        "Sector 5L.",
        "Target R7.",
        "Volume 40 mL, l, r",  # no place beside them
        "R lesion",  # or a number of a list
    ],
)
def test_what_is_not_sure_is_not_mirrored(report):
    assert mirrored_report(report) is None


def test_mirrored_reports_of_phantoms_are_those_of_mirrored_findings():
    for seed in range(60):
        findings = draw_findings(seed)
        report = write_report(findings, seed=seed)
        assert mirrored_report(report) == write_report(findings.mirrored(), seed=seed)
