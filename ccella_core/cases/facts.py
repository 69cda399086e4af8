"""Facts of a patient as a table states them: what cannot be is left out with a warning, and the patient stays."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from ccella_core.cases.tables import says_nothing
from ccella_core.config import StrictModel
from ccella_core.imaging.raw_files import OnWarning
from ccella_core.phantom.fields import LesionFields, StructuredFields

FACTS = ("age_years", "psa_ng_ml", "gland_volume_ml", "isup")
"""Those of a patient that are numbers; PI-RADS makes the class, and is never left out in silence."""
NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)(e[-+]?\d+)?", re.IGNORECASE)

THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
"""A number whose comma may part thousands as well as decimals."""


def as_number(cell: Any) -> float | None:
    """The number in a cell, with point or comma; ``None`` where there is none."""
    if isinstance(cell, bool) or says_nothing(cell):
        return None
    if isinstance(cell, (int, float)):
        try:
            return float(cell)
        except OverflowError:  # a whole number of hundreds of digits, which JSON may hold
            return None
    text = str(cell).strip()
    return float(text.replace(",", ".")) if NUMBER.fullmatch(text) else None


def usable_fact(name: str, cell: Any, on_warning: OnWarning, *, column: str | None = None,
                model: type[StrictModel] = StructuredFields) -> Any:  # fmt: skip
    """A fact, or ``None`` where the cell is empty or holds what cannot be.

    Args:
        name: a field of ``model`` that is a number.
        cell: what the table holds.
        on_warning: hears of a value that is left out, with column and value.
        column: the table's name of it, where it is another.
        model: ``StructuredFields``, or ``LesionFields`` for what is known of one lesion.
    """
    if says_nothing(cell):
        return None
    number = as_number(cell)
    if number is not None and isinstance(cell, str) and THOUSANDS.fullmatch(cell.strip()):
        on_warning(f"{column or name} is {cell.strip()!r} and was read as {number:g}; a comma there is a decimal point")
    if number is not None:
        try:
            return getattr(model.model_validate({name: number}), name)
        except ValidationError:
            pass
    low, high = _limits(model, name)
    on_warning(
        f"{column or name} is {str(cell)[:40]!r}, not a number from {low:g} to {high:g}, and is taken as not known"
    )
    return None


def usable_fields(content: Any, on_warning: OnWarning) -> Any:
    """What JSON lines hold in ``fields``, without numbers that cannot be; anything else is left for the model."""
    if not isinstance(content, dict):
        return content
    usable = {name: usable_fact(name, value, on_warning) if name in FACTS else value for name, value in content.items()}
    if isinstance(content.get("lesions"), list):
        usable["lesions"] = [
            {name: usable_fact(name, value, on_warning, model=LesionFields) if name in ("size_mm", "isup") else value
             for name, value in lesion.items()} if isinstance(lesion, dict) else lesion
            for lesion in content["lesions"]
        ]  # fmt: skip
    return {name: value for name, value in usable.items() if value is not None}


def _limits(model: type[StrictModel], name: str) -> tuple[float, float]:
    """What a field of numbers takes, as its schema says."""
    schema = model.model_json_schema()["properties"][name]
    number = next(each for each in schema.get("anyOf", [schema]) if "minimum" in each)
    return float(number["minimum"]), float(number["maximum"])
