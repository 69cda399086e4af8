"""A few prepared cases in memory, and the cache that a training makes of them, for the tests of the trainings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from ccella_core.networks.autoencoder import build_autoencoder
from ccella_core.networks.config import VARIANTS, AdapterConfig, AutoencoderConfig, DenoiserConfig, UNetConfig, Variant
from ccella_core.phantom.fields import StructuredFields
from ccella_core.phantom.patient import draw_findings
from ccella_core.phantom.report import write_report
from ccella_core.runs.logging import SilentLog
from ccella_core.training.data.cache import build_cache
from ccella_core.training.data.cached_cases import CachedCases
from ccella_core.training.data.sets import DataShare
from ccella_core.training.data.shards import CacheSettings

SHAPE, SPACING = (16, 16, 8), (4.0, 4.0, 8.0)
LATENT_SHAPE = (8, 8, 4)
CHANNELS, TOKENS, TEXT_WIDTH = 2, 4, 8
TINY_AUTOENCODER = AutoencoderConfig(
    latent_channels=CHANNELS, num_channels=(8, 8), num_res_blocks=(1, 1), norm_num_groups=4
)


def tiny_network(variant: Variant = "ccella") -> DenoiserConfig:
    adapter = AdapterConfig(
        text_width=TEXT_WIDTH, width=16, num_latents=4, layers=2, heads=2, time_channels=8, class_hidden=4
    )
    return DenoiserConfig(
        variant=variant,
        unet=UNetConfig(
            latent_channels=CHANNELS,
            num_channels=(8, 16),
            attention_levels=(False, True),
            num_head_channels=(0, 8),
            num_res_blocks=1,
            norm_num_groups=4,
        ),
        adapter=adapter if VARIANTS[variant].uses_text else None,
    )


class Heard(SilentLog):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def step(self, step, values, *, ended=None) -> None:
        assert step == len(self.steps) + 1
        self.steps.append(dict(values))


class FakeEncoder:
    """Numbers that depend on nothing but the report."""

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, reports: list[str]) -> torch.Tensor:
        self.encoded += reports
        seeds = [sum(report.encode()) for report in reports]
        return torch.stack(
            [torch.randn(TOKENS, TEXT_WIDTH, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        )


class FakePrepared:
    """Stands for a JoinedSet: voxels that depend on the case's name, masks of a gland and, if positive, a lesion.

    ``lacking``: pairs of a case's id and a sequence or label that it does not have. ``spacings``: each case has its own
    along Z, 8, 9, … mm.
    """

    def __init__(
        self,
        train: int = 5,
        validation: int = 3,
        *,
        wordings: int = 2,
        masks: bool = True,
        lacking: Iterable[tuple[str, str]] = (),
        spacings: bool = False,
    ) -> None:
        self.folder, self.fingerprint = Path("prepared"), "cases"
        self.settings = SimpleNamespace(spacing=SPACING, shape=SHAPE)
        self.shares, self.folders = (DataShare(folder=self.folder),), "prepared"
        self.masks, self.lacking = masks, set(lacking)
        self._cases = {
            "train": [self._case(seed, "train", wordings) for seed in range(train)],
            "validation": [self._case(seed, "validation", wordings) for seed in range(100, 100 + validation)],
        }
        self.spacing = SPACING
        for number, case in enumerate(case for cases in self._cases.values() for case in cases):
            case.spacing_mm = (*SPACING[:2], SPACING[2] + number) if spacings else None

    @staticmethod
    def _case(seed: int, split: str, wordings: int) -> Any:
        findings = draw_findings(seed, pathology="positive" if seed % 2 else "negative")
        return SimpleNamespace(
            id=f"case{seed}",
            split=split,
            pathology=findings.pathology,
            positive=findings.pathology == "positive",
            reports=tuple(write_report(findings, seed=wording) for wording in range(wordings)),
            fields=StructuredFields.from_findings(findings),
        )

    def spacing_of(self, case: Any) -> tuple[float, float, float]:
        return case.spacing_mm or SPACING

    def split(self, name: str) -> list[Any]:
        return self._cases.get(name, [])

    def source(self, case: Any) -> int:
        return 0

    def has(self, case: Any, part: str) -> bool:
        is_label = part in ("gland", "lesion")
        return (case.id, part) not in self.lacking and (self.masks or not is_label)

    def voxels(self, case: Any, sequence: str) -> np.ndarray:
        seed = sum(f"{case.id}{sequence}".encode())
        return np.random.default_rng(seed).random(SHAPE, dtype=np.float32)

    def regions(self, case: Any) -> tuple[np.ndarray, np.ndarray] | None:
        if not self.masks:
            return None
        gland, lesion = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
        gland[4:12, 4:12, 2:6] = True
        lesion[4:6, 4:6, 2:4] = case.pathology == "positive" and self.has(case, "lesion")
        return gland, lesion


def tiny_autoencoder() -> Any:
    torch.manual_seed(3)
    return build_autoencoder(TINY_AUTOENCODER).eval()


def build(
    folder: Path,
    prepared: FakePrepared | None = None,
    *,
    encoder: FakeEncoder | None = None,
    sequences: tuple[str, ...] = ("t2w",),
    labels: tuple[str, ...] = (),
    text: bool = True,
    depends_on: dict[str, Any] | None = None,
    **settings: Any,
) -> Any:
    return build_cache(
        prepared or FakePrepared(),  # type: ignore[arg-type]
        sequences,  # type: ignore[arg-type]
        tiny_autoencoder(),
        (lambda: encoder or FakeEncoder()) if text else None,  # type: ignore[arg-type, return-value]
        CacheSettings(**settings),
        folder,
        labels=labels,  # type: ignore[arg-type]
        depends_on=depends_on or {"prepared cases": "a", "autoencoder": "b"},
    )


def cached(folder: Path, split: str = "train", **options: Any) -> CachedCases:
    build(folder, **options)
    return CachedCases(folder, split)  # type: ignore[arg-type]
