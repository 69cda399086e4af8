"""The joint loss: L1 on the prediction plus a small focal loss on the class (paper, section "Joint loss")."""

from __future__ import annotations

from typing import Literal, NamedTuple

from monai.losses import FocalLoss
from torch import Tensor

FOCAL_ALPHA = 0.75
FOCAL_GAMMA = 2.0
FOCAL_WEIGHT = 1e-4
# The authors scaled the one-hot target like the class input of the U-Net; the weight above was tuned with it.
FOCAL_TARGET_SCALE = 100.0

_focal = FocalLoss(alpha=FOCAL_ALPHA, gamma=FOCAL_GAMMA, use_softmax=True, reduction="none")


class JointLoss(NamedTuple):
    """What is learnt from, and its two parts before they are weighed."""

    total: Tensor
    denoising: Tensor
    focal: Tensor


def joint_loss(
    prediction: Tensor,
    target: Tensor,
    class_logits: Tensor | None,
    class_one_hot: Tensor | None,
    reads_class: Tensor | None,
    *,
    error: Literal["l1", "l2"] = "l1",
    focal_weight: float = FOCAL_WEIGHT,
    voxel_weight: Tensor | None = None,
    channel_weight: Tensor | None = None,
    case_weight: Tensor | None = None,
    batch: int | None = None,
    readers: int | None = None,
) -> JointLoss:
    """The error of the prediction and, where the class is predicted from the report, the focal loss of the class.

    A large batch may come in parts: the losses of all parts add up to that of the batch, if each is told how large the
    batch is.

    Args:
        prediction: the network's (B, C, X, Y, Z).
        target: noise, velocity or flow, (B, C, X, Y, Z).
        class_logits: (B, K), or ``None`` where the variant predicts no class.
        class_one_hot: the true class, (B, K).
        reads_class: (B,) bool; cases without a report, or whose class is unknown, say nothing about reading it and are
            left out.
        error: ``l1``, as published, whose best guess is the median; or ``l2``, whose best guess is the mean, which is
            what a sampler takes it for: texture that comes and goes has a median of nothing.
        focal_weight: λ of the paper.
        voxel_weight: how much each latent voxel counts, (B, 1, X, Y, Z), 1 on average over the training set; ``None``:
            all the same, as published.
        channel_weight: how much each channel counts in the mean of its case, (B, C): 0 for what a case does not have,
            and above 0 for one channel at least; ``None``: all the same, as published.
        case_weight: how much each case counts, (B,); ``None``: all the same, as published.
        batch: cases in the whole batch; by default these are all.
        readers: cases in the whole batch whose class is read.
    """
    difference = prediction - target
    errors = difference.abs() if error == "l1" else difference.square()
    if voxel_weight is not None:
        errors = errors * voxel_weight
    if channel_weight is None:
        per_case = errors.flatten(1).mean(dim=1)
    else:
        per_case = (errors.flatten(2).mean(dim=2) * channel_weight).sum(dim=1) / channel_weight.sum(dim=1)
    if case_weight is not None:
        per_case = per_case * case_weight
    denoising = per_case.sum() / (len(prediction) if batch is None else batch)
    if class_logits is None:
        return JointLoss(denoising, denoising, denoising.new_zeros(()))
    assert class_one_hot is not None and reads_class is not None
    elementwise = _focal(class_logits, class_one_hot * FOCAL_TARGET_SCALE)
    mask = reads_class.to(elementwise.dtype)
    # Summed over the classes, averaged over the cases whose class is read; a batch may hold none.
    count = int(reads_class.sum()) if readers is None else readers
    focal = (elementwise.sum(dim=1) * mask).sum() / max(count, 1)
    return JointLoss(denoising + focal_weight * focal, denoising, focal)
