"""The joint loss: L1 on the prediction plus a small focal loss on the class (paper, section "Joint loss")."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from monai.losses import FocalLoss
from torch import Tensor
from torch.nn import functional as F

from ccella_core.errors import NonFiniteError

FOCAL_ALPHA = 0.75
FOCAL_GAMMA = 2.0
FOCAL_WEIGHT = 1e-4
# The authors scaled the one-hot target like the class input of the U-Net; the weight above was tuned with it.
FOCAL_TARGET_SCALE = 100.0

_focal = FocalLoss(alpha=FOCAL_ALPHA, gamma=FOCAL_GAMMA, use_softmax=True, reduction="none")


class JointLoss(NamedTuple):
    total: Tensor
    denoising: Tensor
    focal: Tensor


def joint_loss(
    prediction: Tensor,
    target: Tensor,
    class_logits: Tensor | None,
    class_one_hot: Tensor | None,
    has_report: Tensor | None,
    *,
    focal_weight: float = FOCAL_WEIGHT,
    region_weight: Tensor | None = None,
) -> JointLoss:
    """L1 of the prediction and, where the class is predicted from the report, the focal loss of the class.

    Args:
        prediction: the network's (B, C, X, Y, Z).
        target: noise or velocity, (B, C, X, Y, Z).
        class_logits: (B, K), or ``None`` where the variant predicts no class.
        class_one_hot: the true class, (B, K).
        has_report: (B,) bool; cases without a report say nothing about reading one and are left out.
        focal_weight: λ of the paper.
        region_weight: how much each latent voxel counts, (B, 1, X, Y, Z); ``None``: all the same, as published.
    """
    if region_weight is None:
        denoising = F.l1_loss(prediction, target)
    else:
        denoising = ((prediction - target).abs() * region_weight).mean() / region_weight.mean()
    if class_logits is None:
        zero = denoising.new_zeros(())
        return JointLoss(denoising, denoising, zero)
    assert class_one_hot is not None and has_report is not None
    elementwise = _focal(class_logits, class_one_hot * FOCAL_TARGET_SCALE)
    reported = has_report.to(elementwise.dtype)
    # Summed over the classes, averaged over the cases with a report; a batch may hold none.
    focal = (elementwise.sum(dim=1) * reported).sum() / torch.clamp(reported.sum(), min=1)
    return JointLoss(denoising + focal_weight * focal, denoising, focal)


def require_finite(loss: Tensor, step: int, checkpoint: Path) -> None:
    """Raises NonFiniteError where a loss is NaN or infinite, before it reaches the weights."""
    if not torch.isfinite(loss):
        # The checkpoint keeps the old rate with the optimiser, so that going on from it would not help.
        raise NonFiniteError(
            f"The loss became {loss.item()} at step {step}; "
            f"lower the learning rate, remove {checkpoint} and start again."
        )
