"""How the styles of reports say a fact: one `Phrasing` a report keeps units and abbreviations the same throughout.

No draw depends on a side, so that the report of mirrored findings is the mirrored report, word by word.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from .findings import MIRRORED_SIDE, Findings, Lesion

Choice = TypeVar("Choice")

SAYS_HOW = 0.85
"""Reports that say what kind of scan it is; people leave it out."""
SPHEROID_ML = 0.52
"""Volume in mL of a gland by its three diameters in cm: pi / 6, as PI-RADS v2.1 has it."""

SIMULATED_TECHNIQUE = (
    "Simulated multiplanar T2-weighted and diffusion-weighted images.",
    "Simulated biparametric MRI.",
    "Simulated images of a digital phantom.",
    "Simulated T2, ADC and high b-value images.",
)
GIVEN_TECHNIQUE = (
    "{how}.",
    "MRI, {how}.",
    "T2-weighted and diffusion-weighted images, {how}.",
    "Multiplanar imaging of the prostate, {how}.",
)
NEGATIVE = (
    "No suspicious focus.",
    "No suspicious lesion.",
    "No suspicious lesion is identified.",
    "No lesion suspicious for cancer.",
    "No focal lesion.",
    "No focal abnormality suspicious for malignancy.",
    "No dominant lesion in the peripheral or transition zone.",
    "No suspicious lesion in the peripheral zone or transition zone.",
    "Nothing suspicious in the peripheral zone or the transition zone.",
    "No PI-RADS 3, 4 or 5 lesion.",
    "No PI-RADS 3 or higher lesion.",
    "No lesion of PI-RADS 3 or above.",
    "No area of restricted diffusion to suggest clinically significant cancer.",
    "No MR evidence of prostate cancer.",
    "No evidence of malignancy.",
    "No sign of significant tumour.",
    "Clinically significant cancer is unlikely.",
    "Clinically significant cancer is highly unlikely to be present.",
    "Negative for clinically significant prostate cancer.",
    "Negative study.",
    "Normal study apart from benign changes.",
    "Without suspicious lesion.",
    "The peripheral zone and transition zone are free of suspicious lesions.",
    "Lesions: none.",
)
SUSPICIOUS = {
    3: ("indeterminate", "equivocal", "of intermediate suspicion", "equivocal for clinically significant cancer"),
    4: ("suspicious", "of high suspicion", "likely clinically significant cancer", "suspicious for cancer"),
    5: ("highly suspicious", "very suspicious", "very likely clinically significant cancer",
        "highly suspicious for cancer"),
}  # fmt: skip
NOUNS = ("lesion", "focus", "nodule", "area", "abnormality", "focal lesion", "target")
HYPERPLASIA = {
    "none": ("No BPH", "Transition zone not enlarged", "No significant benign prostatic hyperplasia"),
    "mild": ("Mild BPH", "Mildly heterogeneous transition zone, BPH", "Mild benign prostatic hyperplasia"),
    "moderate": ("Moderate BPH", "Nodular BPH, moderate", "Moderate benign prostatic hyperplasia"),
    "marked": ("Marked BPH", "Severe nodular BPH", "Marked benign prostatic hyperplasia",
               "Pronounced BPH with many nodules"),
}  # fmt: skip
NODULES_MM = {"none": None, "mild": None, "moderate": (9, 15), "marked": (12, 20)}
"""Diameters of nodules that are told, where there are any to speak of."""
BENIGN_NODULES = (
    "Encapsulated BPH nodules on both sides of the transition zone, up to {size}, PI-RADS 1",
    "Circumscribed nodules of both lobes measuring up to {size}, benign",
    "Typical encapsulated nodules, the largest {size} (PI-RADS 1)",
    "BPH nodules in the transition zone bilaterally, {size}, encapsulated, not suspicious",
)
BENIGN_NODULE = (
    "BPH nodule in the {where}, {size}, encapsulated, PI-RADS 1",
    "{size} encapsulated nodule of the {where}, benign",
    "Circumscribed {size} nodule, {where}, typical of BPH (PI-RADS 1)",
    "Benign stromal nodule in the {where} ({size})",
)
WEDGES = (
    "wedge-shaped signal change in {where}, benign",
    "linear and wedge-shaped low T2 signal in {where}, no restricted diffusion, PI-RADS 2",
    "mild diffuse T2 hypointensity in {where}, likely prostatitis",
    "non-focal change in {where}, post-inflammatory, not suspicious",
    "ill-defined mild low signal in {where} (PI-RADS 2)",
)
BLADDER = {
    "low": ("nearly empty", "poorly distended", "underfilled"),
    "moderate": ("normal", "unremarkable", "moderately filled"),
    "full": ("well distended", "full", "well filled"),
}
RECTUM = {
    "empty": ("collapsed", "empty"),
    "gas": ("distended by gas", "contains gas", "gas-filled"),
    "stool": ("contains stool", "stool-filled"),
}
EXTENSION = ("extraprostatic extension", "EPE", "extracapsular extension", "ECE")
LEVELS = {
    "base": ("base", "basal third"),
    "mid": ("mid-gland", "mid", "midgland", "middle third"),
    "apex": ("apex", "apical third"),
}
WHOLE_SIDES: dict[str, str] = {"left": "left", "right": "right"}
SHORT_SIDES: dict[str, str] = {"left": "lt", "right": "rt"}
SHORT_SHARE = 0.2
NOTED_SIDES: tuple[tuple[float, dict[str, str]], ...] = (
    (0.1, SHORT_SIDES),
    (0.2, {"left": "Lt", "right": "Rt"}),
    (0.4, {"left": "L", "right": "R"}),
)
"""How notes abbreviate sides, each up to its share of all reports; the rest writes them out."""
ZONES = {
    "peripheral": ("peripheral zone", "PZ"),
    "transition": ("transition zone", "TZ", "transitional zone"),
}


class Phrasing:
    """Chooses among words for the facts of some findings; what it chose once it keeps."""

    def __init__(self, findings: Findings, rng: random.Random, how: str | None) -> None:
        self.findings = findings
        self.rng = rng
        self.how = how
        self.abbreviates = self.chance(0.5)
        self._side_draw = rng.random()
        self.side_words = SHORT_SIDES if self._side_draw < SHORT_SHARE else WHOLE_SIDES
        self.centimetres = self.chance(0.5)
        self.diameters = self.pick((1, 1, 2, 3))
        self.volume_unit = self.pick(("mL", "cc", "ml", "cm3", "cm³", "cubic centimetres"))
        self.score_name = self.pick(("PI-RADS", "PI-RADS", "PIRADS", "PI-RADS category", "PI-RADS score"))
        self.extension = self.pick(EXTENSION)
        self.proportions = (self.rng.uniform(1.12, 1.3), self.rng.uniform(0.8, 0.95))

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """One of them, each as likely."""
        return choices[int(self.rng.random() * len(choices))]

    def chance(self, probability: float) -> bool:
        """Whether, this time."""
        return self.rng.random() < probability

    def side(self, side: str) -> str:
        """Left or right."""
        return self.side_words[side]

    def note_sides(self) -> None:
        """Sides as notes have them from here on, now and then as a single letter; no other draw changes."""
        self.side_words = next((words for share, words in NOTED_SIDES if self._side_draw < share), WHOLE_SIDES)

    def zone(self, zone: str) -> str:
        """In words or in two letters; either way the draw is the same."""
        full, short, *other = ZONES[zone]
        return short if self.abbreviates else self.pick((full, full, (*other, full)[0]))

    def score(self, pirads: int) -> str:
        """An assessment."""
        return f"{self.score_name} {pirads}"

    def size(self, lesion: Lesion) -> str:
        """One, two or three diameters, the largest among them."""
        smaller = (self.rng.uniform(0.7, 0.9), self.rng.uniform(0.6, 0.85))
        diameters = [lesion.size_mm, *(lesion.size_mm * share for share in smaller[: self.diameters - 1])]
        if self.chance(0.25):
            diameters.reverse()
        return self._lengths(diameters, self.centimetres)

    def length(self, mm: float) -> str:
        """A length in the unit of this report."""
        return self._lengths([mm], self.centimetres)

    def volume(self) -> str:
        """Of the gland."""
        value = self.findings.gland_volume_ml
        return f"{value:.1f} {self.volume_unit}" if self.chance(0.2) else f"{value:.0f} {self.volume_unit}"

    def gland_diameters(self) -> str:
        """Three diameters of an ellipsoid with the gland's volume."""
        wide, deep = self.proportions
        side = (self.findings.gland_volume_ml / SPHEROID_ML / (wide * deep)) ** (1 / 3)
        return self._lengths([10 * side * each for each in (wide, deep, 1)], centimetres=self.centimetres)

    def _lengths(self, diameters: list[float], centimetres: bool) -> str:
        by = self.pick((" x ", " x ", " × ", "x", " by "))
        unit = "cm" if centimetres else "mm"
        written = [f"{each / 10:.1f}" if centimetres else f"{each:.0f}" for each in diameters]
        return f"{by.join(written)} {unit}"

    def history(self) -> str:
        """Age and PSA."""
        age, psa = self.findings.age_years, f"{self.findings.psa_ng_ml:.1f}"
        return self.pick(
            (
                f"{age} year old man, PSA {psa} ng/mL",
                f"{age}-year-old male with PSA {psa}",
                f"PSA {psa} ng/ml, {age} years",
                f"Age {age}. PSA {psa}",
                f"Elevated PSA of {psa} ng/mL, {age}-year-old patient"
                if self.findings.psa_ng_ml >= 4
                else f"{age}-year-old patient, PSA of {psa} ng/mL",
            )
        )

    def technique(self) -> str | None:
        """What kind of scan it is; None where this report does not say."""
        said, simulated, given = self.chance(SAYS_HOW), self.pick(SIMULATED_TECHNIQUE), self.pick(GIVEN_TECHNIQUE)
        if self.how is not None:
            return capital(given.format(how=self.how))
        return simulated if said else None

    def negative(self) -> str:
        """That there is nothing."""
        return self.pick(NEGATIVE)

    def hyperplasia(self) -> str:
        """Without a full stop."""
        words = self.pick(HYPERPLASIA[self.findings.hyperplasia])
        told, several, one = self.chance(0.4), self.pick(BENIGN_NODULES), self.pick(BENIGN_NODULE)
        zone, on_one_side = self.zone("transition"), self.chance(0.5)
        range_mm, side = NODULES_MM[self.findings.hyperplasia], self._benign_side()
        if not told or range_mm is None:
            return words
        size = self.length(self.rng.uniform(*range_mm))
        if side is None or not on_one_side:
            return f"{words}. {several.format(size=size)}"
        return f"{words}. {one.format(size=size, where=f'{self.side(side)} {zone}')}"

    def _benign_side(self) -> str | None:
        """Where one nodule of many is told of: away from lesions, beside a benign change; None where neither says."""
        lesions, change = {lesion.side for lesion in self.findings.lesions}, self.findings.peripheral_change
        if lesions:
            return MIRRORED_SIDE[next(iter(lesions))] if len(lesions) == 1 else None
        return change if change in ("left", "right") else None

    def wedge(self) -> str | None:
        """The benign change of the peripheral zone, without a full stop; None where there is none."""
        change = self.findings.peripheral_change
        words, zone = self.pick(WEDGES), self.zone("peripheral")
        if change == "none":
            return None
        where = f"the {zone} bilaterally" if change == "both" else f"the {self.side(change)} {zone}"
        return words.format(where=where)

    def impression(self, lesion: Lesion) -> str:
        """How suspicious."""
        return self.pick(SUSPICIOUS[lesion.pirads])

    @property
    def extends(self) -> bool:
        """Whether a lesion leaves the gland."""
        return any(lesion.extraprostatic for lesion in self.findings.lesions)


def capital(text: str) -> str:
    """The first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """With a capital at its beginning and a full stop at its end."""
    return capital(text) if text.endswith(".") else f"{capital(text)}."
