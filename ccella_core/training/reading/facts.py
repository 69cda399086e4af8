"""What a report states, as numbers, and the small heads that learn to read it: they teach networks to read reports."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ccella_core.phantom.fields import StructuredFields

SIDES, ZONES, LEVELS = ("left", "right"), ("peripheral", "transition"), ("base", "mid", "apex")
CLASSES = {"positive": 2, "pirads": 5, "left": 2, "right": 2, "zone": 2, "level": 3,
           "hyperplasia": 4, "change": 4, "bladder": 3, "rectum": 3}  # fmt: skip
NUMBERS = ("size", "volume")
UNKNOWN = float("nan")
NUMBER_WEIGHT = 4.0  # the errors of log-volume and of centimetres are small numbers beside cross-entropies


def stated_facts(fields: StructuredFields, *, positive: bool | None) -> dict[str, float]:
    """What a report states, as numbers: classes as indices, ``nan`` where nothing is stated or known.

    Args:
        fields: what is known of the case.
        positive: its pathology; ``None`` where it is unknown.
    """
    lesions = fields.lesions
    first = max(lesions, key=lambda lesion: lesion.size_mm or 0.0, default=None) if lesions else None
    sides = None if lesions is None else {lesion.side for lesion in lesions}
    return {
        "positive": UNKNOWN if positive is None else float(positive),
        "pirads": UNKNOWN if fields.pirads is None else fields.pirads - 1,
        "left": UNKNOWN if sides is None or None in sides else float("left" in sides),
        "right": UNKNOWN if sides is None or None in sides else float("right" in sides),
        "zone": _place(None if first is None else first.zone, ZONES),
        "level": _place(None if first is None else first.level, LEVELS),
        "size": first.size_mm / 10 if first and first.size_mm is not None else UNKNOWN,
        "volume": UNKNOWN if fields.gland_volume_ml is None else float(np.log(fields.gland_volume_ml)),
        "hyperplasia": _place(fields.hyperplasia, ("none", "mild", "moderate", "marked")),
        "change": _place(fields.peripheral_change, ("none", "left", "right", "both")),
        "bladder": _place(fields.bladder, ("low", "moderate", "full")),
        "rectum": _place(fields.rectum, ("empty", "gas", "stool")),
    }


def _place(value: str | None, values: tuple[str, ...]) -> float:
    return UNKNOWN if value is None else float(values.index(value))


class FactHeads(nn.ModuleDict):
    """One linear layer a fact, only there while a network learns."""

    def __init__(self, width: int) -> None:
        super().__init__({name: nn.Linear(width, count) for name, count in CLASSES.items()})
        self.update({name: nn.Linear(width, 1) for name in NUMBERS})

    def loss(self, features: Tensor, facts: dict[str, Tensor]) -> Tensor:
        """How wrongly the facts are read: a sum over them, each averaged over the reports that state it.

        Args:
            features: (B, F, W), one for each fact in the order of the heads, or (B, 1, W) for all of them.
            facts: (B,) each, as ``facts_of`` gives them.
        """
        features = features.expand(-1, len(self), -1)
        loss = features.new_zeros(())
        # Sums over masks, not choices of rows: to choose, the processor would have to wait for the device.
        for number, (name, head) in enumerate(self.items()):
            if name not in facts:
                continue
            known = ~torch.isnan(facts[name])
            said, truth = head(features[:, number]), torch.nan_to_num(facts[name])
            if name in NUMBERS:
                each = NUMBER_WEIGHT * F.smooth_l1_loss(said[:, 0], truth, beta=0.05, reduction="none")
            else:
                each = F.cross_entropy(said, truth.long(), reduction="none")
            loss = loss + torch.where(known, each, 0).sum() / known.sum().clamp(min=1)
        return loss


def facts_of(rows: list[dict[str, float]]) -> dict[str, Tensor]:
    """Facts of several reports, (B,) each, ``nan`` where a report does not state it; those alone that one states."""
    facts = {name: torch.tensor([row[name] for row in rows], dtype=torch.float32) for name in rows[0]}
    return {name: values for name, values in facts.items() if not values.isnan().all()}
