"""The conditional denoiser: adapter and U-Net in any of the eight published variants, one forward for all."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ccella_core.networks.adapter import Adapter
from ccella_core.networks.config import VARIANTS, DenoiserConfig
from ccella_core.networks.unet import ConditionalUNet

# The published networks were trained on class probabilities and spacings multiplied by 100: the raw numbers are small
# beside the timestep's embedding, and trained weights expect the scaled ones.
CLASS_INPUT_SCALE = 100.0
SPACING_INPUT_SCALE = 100.0


class DenoiserOutput(NamedTuple):
    prediction: Tensor
    """What the network predicts of the noisy latent (B, C, X, Y, Z): the noise, or the velocity."""
    class_logits: Tensor | None
    """(B, K), or ``None`` where this variant predicts no class."""


class ConditionalDenoiser(nn.Module):
    """Predicts the noise in a latent from the latent, the timestep, the report and the class."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        self.adapter = (
            Adapter(config.adapter, class_heads=VARIANTS[config.variant].class_heads, num_classes=config.num_classes)
            if config.adapter is not None
            else None
        )
        self.unet = ConditionalUNet(
            config.unet,
            num_classes=config.num_classes if config.uses_class else None,
            cross_attention_dim=config.adapter.width if config.adapter is not None else None,
        )

    def condition(self, text: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens (B, N, W) and class logits (B, K) of reports (B, L, D) at timesteps (B,).

        They depend on the latent in no way, so a sampler computes them once for all timesteps.
        """
        if self.adapter is None:
            raise ValueError(f"variant {self.config.variant!r} has no text")
        return self.adapter(text, timesteps)

    def denoise(
        self,
        x: Tensor,
        timesteps: Tensor,
        *,
        tokens: Tensor | None = None,
        class_probability: Tensor | None = None,
        spacing: Tensor,
    ) -> Tensor:
        """The U-Net alone, with the condition computed before.

        Args:
            x: noisy latent, (B, C, X, Y, Z).
            timesteps: (B,).
            tokens: (B, N, W); for variants with text.
            class_probability: (B, K) in 0 … 1; for variants with a class.
            spacing: voxel spacing in mm, (B, 3).
        """
        return self.unet(
            x,
            timesteps,
            context=tokens,
            top_region_index_tensor=None if class_probability is None else class_probability * CLASS_INPUT_SCALE,
            spacing_tensor=spacing * SPACING_INPUT_SCALE,
        )

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        *,
        text: Tensor | None = None,
        class_probability: Tensor | None = None,
        spacing: Tensor,
    ) -> DenoiserOutput:
        """Condition and denoise. A class that is given overrides the predicted one as the U-Net's input.

        Args:
            x: noisy latent, (B, C, X, Y, Z).
            timesteps: (B,).
            text: the report encoder's output, (B, L, D); for variants with text.
            class_probability: (B, K) in 0 … 1; required by variants whose class comes from outside.
            spacing: voxel spacing in mm, (B, 3).
        """
        tokens, logits = self.condition(text, timesteps) if text is not None else (None, None)
        if class_probability is None and logits is not None:
            class_probability = torch.softmax(logits, dim=1)
        if self.config.uses_class and class_probability is None:
            raise ValueError(f"variant {self.config.variant!r} needs the class")
        prediction = self.denoise(x, timesteps, tokens=tokens, class_probability=class_probability, spacing=spacing)
        return DenoiserOutput(prediction, logits)
