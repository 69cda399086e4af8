"""What a search for copies found: shares with exact intervals, limits, and every volume with its nearest."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field
from scipy.stats import binomtest

from ccella_core.config import StrictModel


class Share(StrictModel):
    """``count`` of ``total``, and the exact (Clopper-Pearson) interval of the share at 95 %."""

    count: int
    total: int
    low: float
    high: float

    @classmethod
    def of(cls, answers: Iterable[bool]) -> Share:
        """Of at least one answer."""
        each = [bool(answer) for answer in answers]
        interval = binomtest(sum(each), len(each)).proportion_ci(0.95, method="exact")
        return cls(count=sum(each), total=len(each), low=float(interval.low), high=float(interval.high))

    @property
    def share(self) -> float:
        return self.count / self.total

    def __str__(self) -> str:
        return f"{self.share:.1%} ({self.count}/{self.total}; 95 % {self.low:.1%} to {self.high:.1%})"


class Comparison(StrictModel):
    """What one way of comparing volumes found."""

    by: str = Field(description="aligned voxels, or the extractor of the features")
    limit: float = Field(description="times nearer than the others, from which a volume is suspected")
    false_alarm_rate: float = Field(description="of new volumes that the limit is to suspect")
    suspected: Share
    real_suspected: Share = Field(description="the same among real volumes: false alarms, or a patient in both sets")
    median_distance: float = Field(description="of synthetic volumes from their nearest training volume")
    real_median_distance: float = Field(description="of real volumes from theirs")
    times_nearer: tuple[float, ...] = Field(description="of each synthetic volume, in order")
    real_times_nearer: tuple[float, ...]


class Nearest(StrictModel):
    """A synthetic volume and the training volume that is nearest to it by one comparison."""

    synthetic: str
    training: str
    synthetic_index: int
    training_index: int
    by: str
    distance: float
    times_nearer: float
    suspicion: float = Field(description="times_nearer by the limit: suspected above 1")

    @property
    def suspected(self) -> bool:
        return self.suspicion > 1


class PrivacyScores(StrictModel):
    """What was found in a set of synthetic volumes."""

    synthetic: str
    training: str
    real: str
    """What set the limits: held-out volumes, or the training volumes themselves, each left out in turn."""
    training_volumes: int
    training_patients: int
    rank: int = Field(description="the nearest patient is compared with the one so many places further")
    suspected: Share
    """By either comparison."""
    false_alarm_rate: float = Field(description="of either comparison at most")
    comparisons: tuple[Comparison, ...]
    authenticity: Share
    """Volumes that are further from their nearest training volume than it is from its own nearest, by features."""
    real_authenticity: Share | None
    """The same of held-out volumes."""
    closest: tuple[Nearest, ...]
    """Every synthetic volume once, the most suspicious first."""
    warnings: tuple[str, ...]
    extractor_sha256: str | None = Field(None, description="fingerprint of its weights; None: in older results")
