"""A study's result with made-up numbers, for the tests of tables, sentences, figures and the page."""

from __future__ import annotations

from typing import Any

from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.study.measures import ArmDifference, ArmScore, Measure
from ccella_core.study.result import (
    Cases,
    LeftOut,
    StudyResult,
    SyntheticVolumes,
    TrainedVariant,
    VariantModel,
    VariantResult,
)

VARIANTS = ("ccella", "maisi", "ellamaisi", "decoupled")
SETS = "64 real, 64 synthetic"


def number(value: float | None, half: float | None = None, n: str = "64") -> Estimate:
    if value is None or half is None:
        return Estimate(value=value, n=n)
    return Estimate(value=value, low=value - half, high=value + half, n=n)


def image_measures() -> list[Measure]:
    floor = number(0.010, 0.004, "halves of 64 real")
    measures = []
    for name, better, values, half in (
        ("FID", "lower", (0.020, 0.090, 0.024, 0.022), 0.006),
        ("KID", "lower", (0.002, 0.011, 0.002, 0.002), 0.001),
        ("Coverage", "higher", (0.80, 0.40, 0.78, 0.79), 0.10),
        ("MS-SSIM between pairs", None, (0.61, 0.74, 0.62, 0.60), 0.02),
    ):
        measures += [
            Measure(variant=variant, group="images", name=name, extractor="phantom reader (stand-in)",  # type: ignore[arg-type]
                    better=better, number=number(value, half, SETS), reference=floor,  # type: ignore[arg-type]
                    reference_name="the real cases among themselves")
            for variant, value in zip(VARIANTS, values, strict=True)
        ]  # fmt: skip
    return measures


def head_measures() -> list[Measure]:
    return [
        Measure(variant="ccella", group="class_head", name=name, better="higher", number=number(value, 0.03))
        for name, value in (("AUROC", 0.95), ("Accuracy", 0.91))
    ]


def score(arm: str, variant: str | None, real_count: int | None, auroc: float) -> ArmScore:
    other = number(0.7, 0.1)
    return ArmScore(
        arm=arm, variant=variant, real_count=real_count, synthetic_count=0 if arm == "real" else 300,  # type: ignore[arg-type]
        networks=3, auroc=number(auroc, 0.05), average_precision=other, accuracy=other, sensitivity=other,
        specificity=other,
    )  # fmt: skip


def difference(variant: str, real_count: int, value: float, half: float, adjusted: float) -> ArmDifference:
    return ArmDifference(
        arm="real+synthetic", variant=variant, real_count=real_count, difference=number(value, half),  # type: ignore[arg-type]
        p_value=adjusted / 2, adjusted_p_value=adjusted,
    )  # fmt: skip


def arm_scores() -> list[ArmScore]:
    scores = [score("real", None, count, auroc) for count, auroc in ((40, 0.70), (100, 0.80), (200, 0.86))]
    for variant, gain in (("ccella", 0.08), ("ellamaisi", 0.03), ("decoupled", -0.04)):
        scores.append(score("synthetic", variant, None, 0.74 + gain))
        scores += [score("real+synthetic", variant, count, auroc + gain)
                   for count, auroc in ((40, 0.70), (100, 0.80), (200, 0.86))]  # fmt: skip
    return scores


def study_result(**changes: Any) -> StudyResult:
    variants = tuple(
        VariantResult(
            variant=variant,  # type: ignore[arg-type]
            trained=TrainedVariant(parameters=1_234_567, steps=1200, validation_loss=0.123, weights_sha256="0" * 64),
            model=VariantModel(path=f"variants/{variant}/model/model", sha256="0" * 64),
            of_test=SyntheticVolumes(path=f"variants/{variant}/of-test-reports", count=64, sha256="0" * 64),
            of_train=SyntheticVolumes(path=f"variants/{variant}/of-train-reports", count=300, sha256="0" * 64),
        )
        for variant in VARIANTS
    )
    content: dict[str, Any] = {
        "title": "A study",
        "about": "Of made-up numbers.",
        "config": {"title": "A study"},
        "cases": Cases(fingerprint="abc", counts={"train": 300, "validation": 32, "test": 64},
                       positive={"train": 150, "validation": 16, "test": 31}),
        "variants": variants,
        "measures": (*image_measures(), *head_measures()),
        "warnings": (),
        "arm_scores": tuple(arm_scores()),
        "differences": (
            difference("ccella", 40, 0.08, 0.03, 0.002),
            difference("ellamaisi", 40, 0.03, 0.05, 0.4),
            difference("decoupled", 40, -0.04, 0.03, 0.08),
        ),
        "left_out": (LeftOut(stage="Score the class that maisi reads from reports", why_not="it has no class head"),),
        "seconds": {f"variants/{variant}/training": 840.0 for variant in VARIANTS},
    }  # fmt: skip
    return StudyResult(**(content | changes))
