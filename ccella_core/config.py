"""Checked configuration: what every settings class here derives from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """Unknown keys are errors, and values do not change after they were checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)
