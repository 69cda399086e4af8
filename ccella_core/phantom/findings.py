"""What a radiologist would find: the truth that a report states and that the images show.

Scores follow PI-RADS v2.1 (Turkbey et al., European Urology 2019): overall 1-2 counts as negative, 3-5 as
positive; a score of 5 needs 15 mm or definite extraprostatic extension, and a score of 4 neither.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

Side = Literal["left", "right"]
Zone = Literal["peripheral", "transition"]
Level = Literal["base", "mid", "apex"]
Pathology = Literal["negative", "positive"]
Hyperplasia = Literal["none", "mild", "moderate", "marked"]
BenignChange = Literal["none", "left", "right", "both"]
BladderFilling = Literal["low", "moderate", "full"]
RectalContent = Literal["empty", "gas", "stool"]

PIRADS_5_SIZE_MM = 15.0
MIRRORED_SIDE: dict[BenignChange, BenignChange] = {
    "left": "right",
    "right": "left",
    "both": "both",
    "none": "none",
}


def _require_choice(name: str, value: object, choices: object) -> None:
    allowed = get_args(choices)
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}; got {value!r}")


def _require_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must lie between {low:g} and {high:g}; got {value!r}")


@dataclass(frozen=True, slots=True)
class Lesion:
    """One focal lesion; `size_mm` is its largest diameter."""

    side: Side
    zone: Zone
    level: Level
    size_mm: float
    pirads: int
    extraprostatic: bool = False

    def __post_init__(self) -> None:
        _require_choice("side", self.side, Side)
        _require_choice("zone", self.zone, Zone)
        _require_choice("level", self.level, Level)
        _require_range("size_mm", self.size_mm, 3, 80)
        if self.pirads not in (3, 4, 5):
            raise ValueError(f"a lesion's PI-RADS must be 3, 4 or 5; got {self.pirads!r}")
        large = self.size_mm >= PIRADS_5_SIZE_MM
        if self.pirads == 4 and (large or self.extraprostatic):
            raise ValueError("a PI-RADS 4 lesion is smaller than 15 mm and confined to the gland")
        if self.pirads == 5 and not (large or self.extraprostatic):
            raise ValueError("a PI-RADS 5 lesion measures at least 15 mm or extends beyond the gland")

    def mirrored(self) -> Lesion:
        """The same lesion on the other side."""
        return replace(self, side="left" if self.side == "right" else "right")


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything the report may say about one patient."""

    gland_volume_ml: float
    psa_ng_ml: float
    age_years: int
    pirads: int
    lesions: tuple[Lesion, ...] = ()
    hyperplasia: Hyperplasia = "mild"
    peripheral_change: BenignChange = "none"
    bladder: BladderFilling = "moderate"
    rectum: RectalContent = "empty"

    def __post_init__(self) -> None:
        _require_range("gland_volume_ml", self.gland_volume_ml, 10, 300)
        _require_range("psa_ng_ml", self.psa_ng_ml, 0, 5000)
        _require_range("age_years", self.age_years, 18, 120)
        if self.pirads not in (1, 2, 3, 4, 5):
            raise ValueError(f"the overall PI-RADS must be 1 to 5; got {self.pirads!r}")
        _require_choice("hyperplasia", self.hyperplasia, Hyperplasia)
        _require_choice("peripheral_change", self.peripheral_change, BenignChange)
        _require_choice("bladder", self.bladder, BladderFilling)
        _require_choice("rectum", self.rectum, RectalContent)
        if self.lesions and self.pirads != max(lesion.pirads for lesion in self.lesions):
            raise ValueError(
                "the overall PI-RADS must be the highest score among the lesions; "
                "negative findings (PI-RADS 1-2) have no lesions"
            )
        if not self.lesions and self.pirads >= 3:
            raise ValueError(f"PI-RADS {self.pirads} needs at least one lesion")
        if self.pirads == 1 and self.peripheral_change != "none":
            raise ValueError("a benign peripheral-zone change scores PI-RADS 2, not 1")

    @property
    def pathology(self) -> Pathology:
        """Positive from PI-RADS 3 on."""
        return "positive" if self.pirads >= 3 else "negative"

    def mirrored(self) -> Findings:
        """The same patient seen in a mirror: left and right change places."""
        lesions = tuple(lesion.mirrored() for lesion in self.lesions)
        return replace(self, lesions=lesions, peripheral_change=MIRRORED_SIDE[self.peripheral_change])
