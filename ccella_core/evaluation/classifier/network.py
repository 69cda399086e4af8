"""The downstream classifier: a 3-D network that tells positive from negative volumes, and how volumes are given to it.

Its purpose is to measure what synthetic cases are worth to somebody who trains a classifier (paper, "Downstream
classification"). Where each setting comes from:

- stated with the paper: MONAI's 3-D EfficientNet-B0 from random weights, foreground crop, 256 x 256 x 32 voxels, focal
  loss, AdamW at 1e-4 with polynomial decay, 200 epochs;
- from the classifier that the same authors released with their next paper (arXiv 2507.06384, ``scripts/tfproxy.py``):
  intensities clipped at the 2nd and 98th percentile and standardised, padding with zeros and cropping about the centre,
  a flip of left and right, rotation by up to 15° in the plane, translation by up to 25 x 25 x 2 voxels, zoom by up to
  10 %, each with probability 0.5; batches of 32, decay of power 2, focal gamma 2 without class weights, and the weights
  that have the best average precision on the validation cases, of which they look every five epochs;
- as it came with CCELLA itself (preset ``published``): the percentiles 0 to 98 at 0 to 1, voxels of 0.5 x 0.5 x 3 mm by
  Lanczos interpolation, batches of 16 a GPU, and the weights of the last epoch;
- our choice: what counts as foreground, because synthetic background is never exactly 0; clipping is hard, because
  their soft one is made for integers; and volumes are first brought to a slice thickness of which 32 slices show the
  whole gland, because the prepared grid has 128 slices of 0.5 mm. ``soft_clip`` makes the clip soft as theirs.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
import torch
from monai.networks.nets import EfficientNetBN, ResNet
from monai.transforms import (
    CenterSpatialCrop,
    ClipIntensityPercentiles,
    Compose,
    CropForeground,
    NormalizeIntensity,
    RandAffine,
    RandFlip,
    RandRotate,
    RandZoom,
    Resize,
    ScaleIntensityRangePercentiles,
    SpatialPad,
)
from monai.utils import convert_to_tensor
from pydantic import Field, model_validator
from torch import Tensor, nn

from ccella_core.config import Side, StrictModel
from ccella_core.errors import InputError

Network = Literal["efficientnet-b0", "resnet10"]
FOREGROUND = 0.02
"""Brighter than what an autoencoder leaves of an empty background; volumes are in 0 … 1."""
PERCENTILES = (2, 98)
PUBLISHED_PERCENTILES = (0, 98)
"""CCELLA's own classifier brings these to 0 and 1."""
LEFT_RIGHT = 0
CLASSES = 2
EFFICIENTNET_MULTIPLE = 32
"""MONAI pads its EfficientNet for 224 voxels; other sides must be halved five times just as evenly."""
NARROW = (16, 32, 64, 128)
"""Channels of the small residual network: a quarter of the usual."""


Spacing = Annotated[float, Field(ge=0.05, le=50, description="mm")]
Shift = Annotated[float, Field(ge=0, le=1024)]


class Preprocessing(StrictModel):
    """How a volume becomes the network's input."""

    shape: tuple[Side, Side, Side] = (256, 256, 32)
    spacing: tuple[Spacing, Spacing, Spacing] | None = Field(
        None, description="mm to which volumes are resampled first; null: as they are"
    )
    resampling: Literal["mean", "lanczos"] = Field(
        "mean", description="to `spacing`: means of the voxels that one stands for, or Lanczos interpolation"
    )
    intensity: Literal["standardised", "0-1"] = Field(
        "standardised", description="clipped at the percentiles 2 and 98 and standardised, or 0 to 98 brought to 0 to 1"
    )
    soft_clip: float | None = Field(
        None, gt=0, le=1e9, description="sharpness of a soft clip, for volumes in 0 to 1; null: clipped hard"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Preprocessing:
        if self.soft_clip is not None and self.intensity != "standardised":
            raise ValueError("preprocessing.soft_clip is of standardised intensities; leave it out")
        if self.resampling == "lanczos" and self.spacing is None:
            raise ValueError("preprocessing.resampling is lanczos, and there is no preprocessing.spacing")
        return self


class Augmentation(StrictModel):
    """What is done to a training volume anew each time, every part of it with the same probability."""

    probability: float = Field(0.5, ge=0, le=1)
    flip: bool = Field(True, description="left and right")
    rotation_degrees: float = Field(15.0, ge=0, le=180, description="at most, in the plane")
    translation: tuple[Shift, Shift, Shift] = Field((25, 25, 2), description="voxels, at most")
    zoom: float = Field(0.1, ge=0, lt=1, description="at most larger or smaller")


def build_classifier(network: Network, channels: int = 1) -> nn.Module:
    """(B, channels, X, Y, Z) to logits (B, 2) of negative and positive, with random weights."""
    if network == "efficientnet-b0":
        return EfficientNetBN(network, pretrained=False, spatial_dims=3, in_channels=channels, num_classes=CLASSES)
    return ResNet(
        "basic",
        layers=[1, 1, 1, 1],
        block_inplanes=list(NARROW),
        spatial_dims=3,
        n_input_channels=channels,
        conv1_t_size=3,
        conv1_t_stride=2,
        no_max_pool=True,  # a lesion is a few voxels wide
        num_classes=CLASSES,
    )


def preprocess(voxels: np.ndarray, spacing: tuple[float, float, float], settings: Preprocessing) -> Tensor:
    """(C, *shape) float16 of voxels (X, Y, Z) or (C, X, Y, Z) in 0 … 1: cropped, clipped, standardised and centred.

    All channels are cropped to what is bright in the first; each is scaled by itself.

    Raises:
        InputError: there is no foreground.
    """
    channels = voxels[None] if voxels.ndim == 3 else voxels
    if not (channels[0] > FOREGROUND).any():
        raise InputError("A volume is dark everywhere, so that there is nothing to classify; remove it.")
    steps: list[Any] = [
        CropForeground(select_fn=lambda image: image > FOREGROUND, channel_indices=0),
        *_SCALING[settings.intensity](settings),
        SpatialPad(settings.shape),
        CenterSpatialCrop(settings.shape),
    ]
    if settings.spacing is not None:
        ratio = np.divide(spacing, settings.spacing)
        size = [max(1, round(side)) for side in channels.shape[1:] * ratio]
        if settings.resampling == "lanczos":
            channels = np.stack([_lanczos(channel, size) for channel in channels])
        else:
            # Fewer voxels are means of those they stand for, as a thicker slice is.
            steps.insert(0, Resize(size, mode="area" if (ratio <= 1).all() else "trilinear"))
    image = Compose(steps)(torch.from_numpy(np.ascontiguousarray(channels, np.float32)))
    return convert_to_tensor(image, dtype=torch.float16)  # without MONAI's metadata


def _standardised(settings: Preprocessing) -> list[Any]:
    return [
        ClipIntensityPercentiles(*PERCENTILES, sharpness_factor=settings.soft_clip, channel_wise=True),
        NormalizeIntensity(channel_wise=True),
    ]


def _zero_to_one(_: Preprocessing) -> list[Any]:
    return [ScaleIntensityRangePercentiles(*PUBLISHED_PERCENTILES, 0.0, 1.0, clip=True, channel_wise=True)]


_SCALING = {"standardised": _standardised, "0-1": _zero_to_one}


def _lanczos(voxels: np.ndarray, size: list[int]) -> np.ndarray:
    """Voxels (X, Y, Z) interpolated to ``size`` over the same field of view; ITK's kernel does not widen for fewer."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0), np.float32))
    step = np.divide(voxels.shape, size)
    placed = sitk.Resample(image, size, sitk.Transform(), sitk.sitkLanczosWindowedSinc,
                           ((step - 1) / 2).tolist(), step.tolist(), image.GetDirection(), 0.0,
                           sitk.sitkFloat32, True)  # fmt: skip
    return sitk.GetArrayFromImage(placed).transpose(2, 1, 0)


class Augmenter:
    """Changes volumes by chance, the same way for the same seed."""

    def __init__(self, settings: Augmentation) -> None:
        probability = settings.probability
        self._transform = Compose(
            [
                RandFlip(probability if settings.flip else 0.0, spatial_axis=LEFT_RIGHT),
                RandRotate(range_z=math.radians(settings.rotation_degrees), prob=probability),
                RandAffine(probability, translate_range=settings.translation, padding_mode="zeros"),
                RandZoom(probability, min_zoom=1 - settings.zoom, max_zoom=1 + settings.zoom, mode="trilinear",
                         padding_mode="constant"),
            ]
        )  # fmt: skip

    def __call__(self, image: Tensor, seed: int) -> Tensor:
        """(C, X, Y, Z) float32, on the device of ``image``.

        Args:
            image: (C, X, Y, Z) float32.
            seed: below 2**32, as NumPy's older generator takes it.
        """
        self._transform.set_random_state(seed=seed)
        return convert_to_tensor(self._transform(image), dtype=torch.float32)
