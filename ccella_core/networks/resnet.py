"""What the published feature extractors share: a ResNet of bottleneck blocks, and where its weights come from."""

from __future__ import annotations

from monai.networks.nets import ResNet
from pydantic import Field

from ccella_core.config import StrictModel

WIDENING = (1, 2, 4, 8)
"""Of the four layers, over that of the first."""
EXPANSION = 4
"""Of a bottleneck block."""


class ResNetConfig(StrictModel):
    """The network's size, and where its weights come from. Defaults: ResNet-50."""

    layers: tuple[int, int, int, int] = (3, 4, 6, 3)
    width: int = Field(64, gt=0)
    source: str = Field(description="the published file's name")
    sha256: str = Field(description="of the published file")

    @property
    def dimension(self) -> int:
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
