"""Writes the radiology report of some findings, in varied words, the same for the same findings and seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal, get_args

from . import report_styles
from .findings import Findings, Lesion
from .held_out_style import held_out
from .phrasing import Phrasing

ReportStyle = Literal["classic", "structured", "telegram", "narrative", "short", "held-out"]
"""``classic`` states everything and nothing of the scan; ``short`` leaves out what people leave out; no training sees
``held-out``."""
TRAINING_STYLES: tuple[ReportStyle, ...] = ("classic", "structured", "telegram", "narrative", "short")
StyleChoice = Literal[ReportStyle, "any"]
"""``any``: the seed draws one of those for training."""

ZONE_WORDS = {"peripheral": ("peripheral zone", "PZ"), "transition": ("transition zone", "TZ")}
LEVEL_WORDS = {
    "base": ("at the base", "at the level of the base", "in the basal third"),
    "mid": ("at the mid-gland", "at mid-gland level", "in the mid gland"),
    "apex": ("at the apex", "at the level of the apex", "in the apical third"),
}
SUSPICION = {3: "intermediate", 4: "high", 5: "very high"}
SIGNAL = {
    3: ("moderately T2-hypointense", "mildly dark on T2", "subtle T2-hypointense"),
    4: ("markedly T2-hypointense", "T2-dark", "well-conspicuous T2-hypointense"),
    5: ("markedly T2-hypointense", "large T2-dark", "homogeneously T2-hypointense"),
}
DIFFUSION = {
    3: ("mildly low ADC", "mild diffusion restriction"),
    4: ("marked diffusion restriction", "focal low ADC with high signal on high b-value images"),
    5: ("marked diffusion restriction", "very low ADC with high signal on high b-value images"),
}
HYPERPLASIA = {
    "none": ("No significant BPH.", "The transition zone is not enlarged."),
    "mild": ("Mild BPH.", "Mild nodular hyperplasia of the transition zone."),
    "moderate": (
        "Moderate BPH with encapsulated nodules.",
        "Moderate nodular hyperplasia of the transition zone.",
    ),
    "marked": (
        "Marked BPH with numerous nodules.",
        "Marked nodular hyperplasia of the enlarged transition zone.",
    ),
}
BLADDER = {
    "low": "The bladder is poorly distended.",
    "moderate": "The bladder is unremarkable.",
    "full": "The bladder is well distended, without focal wall abnormality.",
}
RECTUM = {
    "empty": "The rectum is collapsed.",
    "gas": "The rectum contains gas.",
    "stool": "The rectum contains stool.",
}
NEGATIVE = (
    "No focal lesion suspicious for clinically significant cancer.",
    "There is no suspicious focal lesion in the prostate.",
    "No evidence of clinically significant prostate cancer.",
    "No MRI evidence of clinically significant malignancy.",
)


def write_report(
    findings: Findings, *, seed: int = 0, style: StyleChoice = "classic", technique: str | None = None
) -> str:
    """The report of some findings.

    Args:
        findings: what it states.
        seed: chooses the words, never the facts.
        style: in whose way.
        technique: what kind of scan it is said to be, "3 T, no endorectal coil" for instance. By default the classic
            style is as it always was, and the others mostly say that the images are simulated.
    """
    # No draw depends on a side, so the report of mirrored findings is the mirrored report.
    if style == "any":
        rng = random.Random(f"{seed} of any style")
        style = TRAINING_STYLES[int(rng.random() * len(TRAINING_STYLES))]
        if style == "classic" and technique is None:
            technique = "simulated images"
    if style not in get_args(ReportStyle):
        raise ValueError(f"style must be one of {', '.join(get_args(ReportStyle))}, any; got {style!r}")
    if style != "classic":
        return STYLES[style](Phrasing(findings, random.Random(seed), technique))
    return _classic(_Writer(findings, random.Random(seed), technique))


STYLES: dict[ReportStyle, Callable[[Phrasing], str]] = {
    "structured": report_styles.structured,
    "telegram": report_styles.telegram,
    "narrative": report_styles.narrative,
    "short": report_styles.short,
    "held-out": held_out,
}


def _classic(writer: _Writer) -> str:
    layout = writer.pick(("titled", "short", "plain"))
    history, said = writer.history(), writer.how is not None
    if layout == "titled":
        parts = [f"CLINICAL HISTORY: {history}"]
        if writer.chance(0.5) or said:
            parts.append(f"TECHNIQUE: {writer.technique()}")
        parts += [f"FINDINGS: {writer.findings_text()}", f"IMPRESSION: {writer.impression()}"]
    elif layout == "short":
        parts = [
            f"Indication: {history}",
            *([f"Technique: {writer.technique()}"] if said else []),
            f"Findings: {writer.findings_text()}",
            f"Conclusion: {writer.impression()}",
        ]
    else:
        parts = [
            f"MRI prostate. {history}",
            *([writer.technique()] if said else []),
            writer.findings_text(),
            f"Impression: {writer.impression()}",
        ]
    return "\n".join(parts)


class _Writer:
    """Chooses among synonyms; abbreviations and units stay the same throughout one report."""

    def __init__(self, findings: Findings, rng: random.Random, technique: str | None) -> None:
        self.findings = findings
        self.how = technique or None
        self.rng = rng
        self.abbreviates = self.chance(0.4)
        self.abbreviates_sides = self.chance(0.2)
        self.centimetres = self.chance(0.4)
        self.volume_unit = self.pick(("mL", "cc", "ml"))

    def pick(self, choices: tuple[str, ...]) -> str:
        return choices[int(self.rng.random() * len(choices))]

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def side(self, side: str) -> str:
        return {"left": "lt", "right": "rt"}[side] if self.abbreviates_sides else side

    def zone(self, zone: str) -> str:
        return ZONE_WORDS[zone][self.abbreviates]

    def size(self, lesion: Lesion) -> str:
        return f"{lesion.size_mm / 10:.1f} cm" if self.centimetres else f"{lesion.size_mm:.0f} mm"

    def history(self) -> str:
        age, psa = self.findings.age_years, f"{self.findings.psa_ng_ml:.1f} ng/mL"
        return self.pick(
            (
                f"{age}-year-old man, PSA {psa}.",
                f"{age} year old male with a PSA of {psa}.",
                f"Raised PSA ({psa}), age {age}." if self.findings.psa_ng_ml >= 4 else f"PSA {psa}, age {age}.",
                f"PSA {psa} in a {age}-year-old patient; evaluate for prostate cancer.",
            )
        )

    def technique(self) -> str:
        if self.how is not None:
            return f"{self.how[:1].upper()}{self.how[1:]}."
        return self.pick(
            (
                "Multiplanar T2-weighted and diffusion-weighted imaging of the prostate at 3 T.",
                "Biparametric MRI of the prostate with a pelvic phased-array coil.",
                "T2-weighted and diffusion-weighted images including high b-values.",
            )
        )

    def findings_text(self) -> str:
        volume = f"{self.findings.gland_volume_ml:.0f} {self.volume_unit}"
        gland = self.pick(
            (
                f"The prostate volume is {volume}.",
                f"The gland measures {volume}.",
                f"Prostate volume: {volume}.",
                f"Estimated gland volume of {volume}.",
            )
        )
        focal = [self._lesion(index, lesion) for index, lesion in enumerate(self.findings.lesions)]
        body = [*self._peripheral_change(), *focal] if focal else [self.pick(NEGATIVE), *self._peripheral_change()]
        zones = [self.pick(HYPERPLASIA[self.findings.hyperplasia]), " ".join(body)]
        if self.chance(0.3):
            zones.reverse()
        return " ".join([gland, *zones, *self._surroundings()])

    def _lesion(self, index: int, lesion: Lesion) -> str:
        side, zone, level = (
            self.side(lesion.side),
            self.zone(lesion.zone),
            self.pick(LEVEL_WORDS[lesion.level]),
        )
        signal, diffusion = self.pick(SIGNAL[lesion.pirads]), self.pick(DIFFUSION[lesion.pirads])
        size, noun = self.size(lesion), self.pick(("lesion", "focus", "nodular area"))
        shape = "lenticular " if lesion.zone == "transition" else ""
        text = self.pick(
            (
                f"In the {side} {zone} {level} there is a {size} {shape}{noun}, {signal}, with {diffusion}"
                f" (PI-RADS {lesion.pirads}).",
                f"Lesion {index + 1}: {side} {zone}, {level}, {size}, {shape}{noun}, {signal}, {diffusion},"
                f" PI-RADS {lesion.pirads}.",
                f"A {size} {shape}{noun} is seen in the {side} {zone} {level}, {signal} with {diffusion},"
                f" scored PI-RADS {lesion.pirads}.",
            )
        )
        if lesion.extraprostatic:
            return (
                text
                + " "
                + self.pick(
                    (
                        "It bulges beyond the capsule, in keeping with extraprostatic extension.",
                        "Capsular bulge with extraprostatic extension.",
                    )
                )
            )
        return text

    def _peripheral_change(self) -> list[str]:
        change, zone = self.findings.peripheral_change, self.zone("peripheral")
        if change == "none":
            return []
        where = f"both sides of the {zone}" if change == "both" else f"the {self.side(change)} {zone}"
        return [
            self.pick(
                (
                    f"Mild wedge-shaped T2 change in {where}, likely inflammatory.",
                    f"Linear and wedge-shaped mild hypointensity in {where}, of benign appearance.",
                    f"Mild non-focal signal change in {where}, probably prostatitis.",
                )
            )
        ]

    def _surroundings(self) -> list[str]:
        capsule = "No extraprostatic extension."
        intact = not any(lesion.extraprostatic for lesion in self.findings.lesions)
        optional = [
            *([capsule] if intact else []),
            self.pick(("The seminal vesicles are normal.", "Seminal vesicles are unremarkable and symmetric.")),
            self.pick(("No enlarged pelvic lymph nodes.", "No pelvic lymphadenopathy.")),
            BLADDER[self.findings.bladder],
            RECTUM[self.findings.rectum],
            self.pick(("No suspicious bone lesion.", "The imaged bones are unremarkable.")),
        ]
        kept = [sentence for sentence in optional if self.chance(0.7)]
        return kept if len(kept) > 2 else optional[:4]

    def impression(self) -> str:
        score = self.findings.pirads
        overall = self.pick(
            (
                f"Overall PI-RADS {score}.",
                f"PI-RADS v2.1 assessment: PI-RADS {score}.",
                f"Overall assessment: PI-RADS {score}.",
            )
        )
        if not self.findings.lesions:
            return " ".join([overall, self.pick(NEGATIVE)])
        places = [
            f"{self.side(lesion.side)} {self.zone(lesion.zone)} lesion {self.pick(LEVEL_WORDS[lesion.level])}"
            f" ({self.size(lesion)}), {SUSPICION[lesion.pirads]} suspicion of clinically significant cancer"
            for lesion in self.findings.lesions
        ]
        closing = "; ".join(places)
        return f"{overall} {closing[0].upper()}{closing[1:]}."
