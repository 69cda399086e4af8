"""What the published feature extractors share: a ResNet of bottleneck blocks, and where its weights come from."""

from __future__ import annotations

from typing import Annotated, Literal

from monai.networks.nets import ResNet
from pydantic import Field
from torch import nn

from ccella_core.config import StrictModel
from ccella_core.networks.config import Blocks

WIDENING = (1, 2, 4, 8)
"""Of the four layers, over that of the first."""
EXPANSION = 4
"""Of a bottleneck block."""


class ResNetConfig(StrictModel):
    """The network's size, and where its weights come from. Defaults: ResNet-50."""

    layers: tuple[Blocks, Blocks, Blocks, Blocks] = (3, 4, 6, 3)
    width: Annotated[int, Field(gt=0, le=1024)] = 64
    source: str = Field(description="the published file's name")
    sha256: str = Field(description="of the published file")

    @property
    def dimension(self) -> int:
        """Numbers in a feature vector."""
        return self.width * WIDENING[-1] * EXPANSION

    @property
    def depth(self) -> int:
        """Convolutions in a row, by which such networks are called: three a block, and two."""
        return 3 * sum(self.layers) + 2


def bottleneck_resnet(config: ResNetConfig, *, spatial_dims: int, channels: int) -> ResNet:
    """MONAI's ResNet without its last layer: gives (B, dimension) of (B, channels, …)."""
    return ResNet(
        "bottleneck",
        list(config.layers),
        [config.width * factor for factor in WIDENING],
        spatial_dims=spatial_dims,
        n_input_channels=channels,
        conv1_t_stride=2,
        feed_forward=False,
        bias_downsample=False,
    )


KERAS_EPSILON = 1.001e-5  # of its batch normalisation


class RadImageNetConfig(ResNetConfig):
    """One of RadImageNet's releases."""

    release: Literal["Keras", "PyTorch"] = Field(
        description="Keras: as MONAI converted them, which the paper's 2-D FID uses; PyTorch: a training of its own"
    )


def build_radimagenet(config: RadImageNetConfig) -> ResNet:
    """MONAI's ResNet for images (B, 3, H, W); gives (B, dimension). Keras halves the image one convolution earlier."""
    network = bottleneck_resnet(config, spatial_dims=2, channels=3)
    if config.release == "Keras":
        for layer in (network.layer2, network.layer3, network.layer4):
            one, other, *_ = (module for module in layer[0].modules() if isinstance(module, nn.Conv2d))
            one.stride, other.stride = other.stride, one.stride
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = KERAS_EPSILON
    return network.eval()


DILATIONS = {"layer3": 2, "layer4": 4}
"""MedicalNet segments: its last two layers widen their kernels where others halve the image."""


class MedicalNetConfig(ResNetConfig):
    """One of MedicalNet's releases."""


def build_medicalnet(config: MedicalNetConfig) -> ResNet:
    """MONAI's ResNet with MedicalNet's strides and dilations, for input (B, 1, X, Y, Z); gives (B, dimension)."""
    network = bottleneck_resnet(config, spatial_dims=3, channels=1)
    for layer, dilation in DILATIONS.items():
        for module in network.get_submodule(layer).modules():
            if isinstance(module, nn.Conv3d):
                module.stride = (1, 1, 1)
                if module.kernel_size == (3, 3, 3):
                    module.dilation = module.padding = (dilation, dilation, dilation)
    return network.eval()
