"""The 2-D extractor: a ResNet-50 trained on RadImageNet (Mei et al. 2022, doi 10.1148/ryai.210315), a plane at a time.

Weights are read from a folder that ``ccella models import-extractor radimagenet`` made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from monai.networks.nets import ResNet
from torch import Tensor
from torch.nn import functional as F

from ccella_core.errors import InputError
from ccella_core.evaluation.features.protocols import ProtocolName, named
from ccella_core.models.weights import load_config, load_network
from ccella_core.networks.resnet import RadImageNetConfig, build_radimagenet

Plane = Literal["XY", "YZ", "XZ"]
PLANES: tuple[Plane, ...] = get_args(Plane)
ACROSS: dict[Plane, int] = {"XY": 2, "YZ": 0, "XZ": 1}
"""The axis of the volume along which a plane's slices follow each other."""
SLICES = 32
SLICES_A_BATCH = 16

MEANS_BGR = (0.406, 0.456, 0.485)
"""ImageNet's, subtracted when the Keras weights were trained; in MONAI's and MAISI's evaluation too."""
NO_RANGE = 1e-10
"""Added to the difference of the extremes, for a volume of one grey."""


class RadImageNetExtractor:
    """Features of evenly spaced slices of one plane, (S, D): the mean of the last layer's activations over each.

    Grey goes into all three channels. Slices keep their size, but where their pixels are oblong they are interpolated
    to squares of the shorter side, as the network has seen no others. Voxels lie in 0 … 1 already, so unlike in MAISI's
    script no volume is stretched to its own extremes, which would hide a wrong contrast.

    The published protocols take every slice as it is, of volumes that are stretched to their own extremes, and subtract
    nothing. Their scripts turn RGB to BGR, which changes nothing in grey.
    """

    def __init__(
        self,
        network: ResNet,
        config: RadImageNetConfig,
        plane: Plane,
        device: torch.device,
        *,
        slices: int = SLICES,
        protocol: ProtocolName = "own",
    ) -> None:
        self.network, self.config, self.plane, self.slices = network.to(device), config, plane, slices
        self.device, self.protocol = device, protocol
        self.name = named(f"RadImageNet ResNet-{config.depth} ({config.release} weights), {plane} plane", protocol)
        self.dimension = config.dimension
        self.fingerprint = named(f"{config.sha256} {slices} slices" if protocol == "own" else config.sha256, protocol)

    @classmethod
    def load(
        cls, folder: Path, device: torch.device, *, slices: int = SLICES, protocol: ProtocolName = "own"
    ) -> tuple[RadImageNetExtractor, RadImageNetExtractor, RadImageNetExtractor]:
        """One for each of PLANES, of one network.

        Raises:
            InputError: fewer than one slice, or a published protocol with another release than Keras.
            ModelError: the folder does not hold it whole.
        """
        if slices < 1:
            raise InputError(f"At least one slice of each volume is needed, not {slices}.")
        config = load_config(RadImageNetConfig, folder)
        if protocol != "own" and config.release != "Keras":
            raise InputError(
                f"The protocol {protocol} is measured with RadImageNet's Keras weights as MONAI converted them; "
                f"{folder} holds the {config.release} release."
            )
        network = load_network(lambda: build_radimagenet(config), folder)
        xy, yz, xz = (cls(network, config, plane, device, slices=slices, protocol=protocol) for plane in PLANES)
        return xy, yz, xz

    @torch.inference_mode()
    def __call__(self, voxels: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        """Features of voxels (X, Y, Z) in 0 … 1 and RAS+; see `FeatureExtractor`."""
        axis = ACROSS[self.plane]
        slices = np.moveaxis(voxels, axis, 0)
        if self.protocol == "own":
            slices = slices[evenly_spaced(voxels.shape[axis], self.slices)]
        images = torch.as_tensor(slices, dtype=torch.float32, device=self.device)[:, None]
        if self.protocol == "own":
            pixel = [side for place, side in enumerate(spacing) if place != axis]
            images = self._normalised(_with_square_pixels(images, pixel))
        else:
            images = ((images - images.min()) / (images.max() - images.min() + NO_RANGE)).expand(-1, 3, -1, -1)
        return torch.cat([self.network(batch) for batch in images.split(SLICES_A_BATCH)]).cpu().double().numpy()

    def _normalised(self, images: Tensor) -> Tensor:
        """Input (S, 3, H, W) of images (S, 1, H, W) in 0 … 1, as each release was trained."""
        colours = images.expand(-1, 3, -1, -1)
        if self.config.release == "PyTorch":
            return 2 * colours - 1
        return colours - colours.new_tensor(MEANS_BGR)[:, None, None]


def evenly_spaced(length: int, count: int) -> np.ndarray:
    """The middles of ``count`` equal parts of 0 … ``length`` - 1; all where there are no more than ``count``."""
    count = min(count, length)
    return ((np.arange(count) + 0.5) * length / count).astype(int)


def _with_square_pixels(images: Tensor, pixel: list[float]) -> Tensor:
    size = [round(side * step / min(pixel)) for side, step in zip(images.shape[2:], pixel, strict=True)]
    if size == list(images.shape[2:]):
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)
