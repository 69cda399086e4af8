"""MONAI's perceptual loss, with weights that lie on this computer.

MONAI itself would fetch code and weights from the internet and run them; here they are what ``ccella models
import-extractor radimagenet`` made of the published file.
"""

from __future__ import annotations

from pathlib import Path

from monai.losses import PerceptualLoss
from monai.losses.perceptual import RadImageNetPerceptualSimilarity
from torch import nn

from ccella_core.errors import InputError, ModelError
from ccella_core.models.weights import load_config, load_network
from ccella_core.networks.resnet import RadImageNetConfig, build_radimagenet

SHARE_OF_SLICES = 0.5  # of each direction, drawn anew for every batch, as in MONAI


class RadImageNetLoss(PerceptualLoss):
    """How differently RadImageNet's ResNet-50 sees the slices of two volumes (B, 1, X, Y, Z) in 0 … 1; a mean.

    Args:
        weights: ``model.safetensors`` in the folder of the imported extractor.

    Raises:
        InputError: there is no such file, it does not fit, or it is of another release than MONAI's loss is made for.
    """

    def __init__(self, weights: Path) -> None:
        nn.Module.__init__(self)  # PerceptualLoss's own would go to the internet
        self.spatial_dims, self.is_fake_3d = 3, True
        self.fake_3d_ratio, self.channel_wise = SHARE_OF_SLICES, False
        self.perceptual_function: nn.Module = _Similarity(weights)
        self.eval().requires_grad_(False)


class _Similarity(RadImageNetPerceptualSimilarity):
    def __init__(self, weights: Path) -> None:
        nn.Module.__init__(self)
        try:
            config = load_config(RadImageNetConfig, weights.parent)
            network = load_network(lambda: build_radimagenet(config), weights.parent)
        except ModelError as error:
            raise InputError(f"The weights for the perceptual loss cannot be used: {error}") from error
        if config.release != "Keras":
            raise InputError(f"The perceptual loss reads weights that MONAI converted from Keras, not {config.source}.")
        # Without the mean over the image at the end: where something is seen counts.
        self.model = nn.Sequential(
            network.conv1, network.bn1, network.act, network.maxpool,
            network.layer1, network.layer2, network.layer3, network.layer4,
        )  # fmt: skip
