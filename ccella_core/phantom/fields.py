"""What is known of a real patient: the words and ranges of `findings`, where anything may be unknown.

`Findings` describe a phantom completely. Of a real examination a table often holds a PSA value, a volume or a grade
and nothing else; here ``None`` says that a fact is unknown.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ccella_core.config import StrictModel

from .findings import (
    MIRRORED_SIDE,
    BenignChange,
    BladderFilling,
    Findings,
    Hyperplasia,
    Lesion,
    Level,
    RectalContent,
    Side,
    Zone,
)


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {str(value).lower()}")
    return value


PiRads = Annotated[int, Field(ge=1, le=5), BeforeValidator(_no_bool)]
Isup = Annotated[int, Field(ge=0, le=5, description="ISUP grade group; 0 where a biopsy found no cancer")]


class LesionFields(StrictModel):
    """What is known of one lesion; ``size_mm`` is its largest diameter."""

    side: Side | None = None
    zone: Zone | None = None
    level: Level | None = None
    size_mm: float | None = Field(None, ge=3, le=80)
    pirads: PiRads | None = None
    isup: Isup | None = None
    extraprostatic: bool | None = None
    significant: bool | None = Field(None, description="clinically significant cancer or not, as its source has it")

    def mirrored(self) -> LesionFields:
        """The same lesion on the other side."""
        other: dict[Side | None, Side | None] = {"left": "right", "right": "left", None: None}
        return self.model_copy(update={"side": other[self.side]})


class StructuredFields(StrictModel):
    """What is known of one patient. ``lesions`` is None where they are unknown and empty where there are none."""

    age_years: float | None = Field(None, ge=18, le=120)
    psa_ng_ml: float | None = Field(None, ge=0, le=5000)
    gland_volume_ml: float | None = Field(None, ge=10, le=300)
    pirads: PiRads | None = None
    isup: Isup | None = None
    lesions: tuple[LesionFields, ...] | None = None
    hyperplasia: Hyperplasia | None = None
    peripheral_change: BenignChange | None = None
    bladder: BladderFilling | None = None
    rectum: RectalContent | None = None

    @classmethod
    def from_findings(cls, findings: Findings) -> StructuredFields:
        """All that `findings` say; nothing is known of a biopsy."""
        lesions = tuple(
            LesionFields(
                side=lesion.side,
                zone=lesion.zone,
                level=lesion.level,
                size_mm=lesion.size_mm,
                pirads=lesion.pirads,
                extraprostatic=lesion.extraprostatic,
            )
            for lesion in findings.lesions
        )
        return cls(
            age_years=findings.age_years,
            psa_ng_ml=findings.psa_ng_ml,
            gland_volume_ml=findings.gland_volume_ml,
            pirads=findings.pirads,
            lesions=lesions,
            hyperplasia=findings.hyperplasia,
            peripheral_change=findings.peripheral_change,
            bladder=findings.bladder,
            rectum=findings.rectum,
        )

    def to_findings(self) -> Findings | None:
        """The same as `Findings`, which know no biopsy; None where a fact is unknown or two contradict each other."""
        known = self.model_dump(exclude={"isup": True, "lesions": {"__all__": {"isup", "significant"}}})
        if None in known.values() or any(None in lesion.values() for lesion in known["lesions"]):
            return None
        lesions = tuple(known.pop("lesions"))
        try:
            # An age is told in completed years.
            return Findings(
                **{**known, "age_years": int(known["age_years"])}, lesions=tuple(Lesion(**facts) for facts in lesions)
            )
        except ValueError:
            return None

    def mirrored(self) -> StructuredFields:
        """The same patient seen in a mirror: left and right change places."""
        lesions = None if self.lesions is None else tuple(lesion.mirrored() for lesion in self.lesions)
        change = None if self.peripheral_change is None else MIRRORED_SIDE[self.peripheral_change]
        return self.model_copy(update={"lesions": lesions, "peripheral_change": change})

    @property
    def says_nothing(self) -> bool:
        """Whether every fact is unknown."""
        return self == StructuredFields()
