"""The conditional denoiser: adapter and U-Net in any of the nine published variants, one forward for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from monai.apps.generation.maisi.networks.diffusion_model_unet_maisi import DiffusionModelUNetMaisi
from torch import Tensor, nn

from ccella_core.networks.adapter import Adapter
from ccella_core.networks.config import VARIANTS, DenoiserConfig, UNetConfig
from ccella_core.networks.planar import PlanarUNet

# The published networks were trained on class probabilities and spacings multiplied by 100: the raw numbers are small
# beside the timestep's embedding, and trained weights expect the scaled ones.
CLASS_INPUT_SCALE = 100.0
SPACING_INPUT_SCALE = 100.0
NO_MODALITY = 0
"""The label that stands for no modality in NV-Generate-MR: guidance compares with it."""


class DenoiserOutput(NamedTuple):
    """What a forward pass gives."""

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
        num_classes = config.num_classes if config.uses_class else None
        num_tokens, width = (config.adapter.num_latents, config.adapter.width) if config.adapter else (None, None)
        self.unet: ConditionalUNet | PlanarUNet
        if config.unet.kind == "maisi":
            self.unet = ConditionalUNet(config.unet, num_classes=num_classes, cross_attention_dim=width)
        else:
            self.unet = PlanarUNet(
                config.unet, num_classes=num_classes, cross_attention_dim=width, num_tokens=num_tokens
            )

    def condition(self, text: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens (B, N, W) and class logits (B, K) of reports (B, L, D) at timesteps (B,).

        They depend on the latent in no way, so a scheduler computes them once for all timesteps.
        """
        if self.adapter is None:
            raise ValueError(f"variant {self.config.variant!r} has no text")
        return self.adapter(text, timesteps)

    def expected(self, tokens: Tensor, size: Sequence[int]) -> Tensor | None:
        """The mean latent (B, C, X, Y, Z) that tokens (B, N, W) let expect; ``None`` where the U-Net has none."""
        mean = self.unet.expected if isinstance(self.unet, PlanarUNet) else None
        return None if mean is None else mean(tokens, tuple(size))

    def denoise(
        self,
        x: Tensor,
        timesteps: Tensor,
        *,
        tokens: Tensor | None = None,
        class_probability: Tensor | None = None,
        modality: Tensor | None = None,
        spacing: Tensor,
    ) -> Tensor:
        """The U-Net alone, with the condition computed before.

        Args:
            x: noisy latent, (B, C, X, Y, Z).
            timesteps: (B,).
            tokens: (B, N, W); for variants with text.
            class_probability: (B, K) in 0 … 1; for variants with a class.
            modality: labels (B,), whole numbers; for the variant with one.
            spacing: voxel spacing in mm, (B, 3).
        """
        if isinstance(self.unet, PlanarUNet):
            return self.unet(x, timesteps, tokens=tokens, class_probability=class_probability, spacing=spacing)
        scaled_spacing = spacing * SPACING_INPUT_SCALE
        if self.config.uses_modality:
            # NVIDIA's script feeds the network spacings in half precision: 66.4 becomes 66.375.
            scaled_spacing = scaled_spacing.half().to(spacing.dtype)
        return self.unet(
            x,
            timesteps,
            context=tokens,
            class_labels=modality,
            top_region_index_tensor=None if class_probability is None else class_probability * CLASS_INPUT_SCALE,
            spacing_tensor=scaled_spacing,
        )

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        *,
        text: Tensor | None = None,
        class_probability: Tensor | None = None,
        modality: Tensor | None = None,
        spacing: Tensor,
    ) -> DenoiserOutput:
        """Condition and denoise. A class that is given overrides the predicted one as the U-Net's input.

        Args:
            x: noisy latent, (B, C, X, Y, Z).
            timesteps: (B,).
            text: the report encoder's output, (B, L, D); for variants with text.
            class_probability: (B, K) in 0 … 1; required by variants whose class comes from outside.
            modality: labels (B,); required by the variant with a modality.
            spacing: voxel spacing in mm, (B, 3).
        """
        tokens, logits = self.condition(text, timesteps) if text is not None else (None, None)
        if class_probability is None and logits is not None:
            class_probability = torch.softmax(logits, dim=1)
        if self.config.uses_class and class_probability is None:
            raise ValueError(f"variant {self.config.variant!r} needs the class")
        if self.config.uses_modality and modality is None:
            raise ValueError(f"variant {self.config.variant!r} needs the modality")
        prediction = self.denoise(
            x, timesteps, tokens=tokens, class_probability=class_probability, modality=modality, spacing=spacing
        )
        return DenoiserOutput(prediction, logits)


SPATIAL_DIMS = 3


class ConditionalUNet(DiffusionModelUNetMaisi):
    """``DiffusionModelUNetMaisi`` whose timestep embedding is joined by the class's and the spacing's.

    Args:
        config: channels and levels.
        num_classes: width of the class input, or ``None`` for no class input.
        cross_attention_dim: width of the tokens, or ``None`` for no text.
    """

    def __init__(self, config: UNetConfig, *, num_classes: int | None, cross_attention_dim: int | None) -> None:
        super().__init__(
            spatial_dims=SPATIAL_DIMS,
            in_channels=config.latent_channels,
            out_channels=config.latent_channels,
            num_channels=config.num_channels,
            attention_levels=config.attention_levels,
            num_head_channels=config.num_head_channels,
            num_res_blocks=config.num_res_blocks,
            norm_num_groups=config.norm_num_groups,
            with_conditioning=cross_attention_dim is not None,
            cross_attention_dim=cross_attention_dim,
            upcast_attention=cross_attention_dim is not None,
            # MAISI's region index widens the embedding just as the class does; the class takes its place.
            include_top_region_index_input=num_classes is not None,
            include_spacing_input=True,
            num_class_embeds=config.modality_labels,
            resblock_updown=config.residual_resampling,
            include_fc=config.attention_projection,
        )
        if num_classes is not None:
            del self.top_region_index_layer
            self.pirads_layer = self._create_embedding_module(num_classes, 4 * config.num_channels[0])

    def _get_input_embeddings(
        self, emb: Tensor, top_index: Tensor | None, bottom_index: Tensor | None, spacing: Tensor
    ) -> Tensor:
        """The timestep's embedding, then the class's (it comes in as ``top_index``), then the spacing's."""
        parts = [emb]
        if self.include_top_region_index_input:
            parts.append(self.pirads_layer(top_index))
        parts.append(self.spacing_layer(spacing))
        return torch.cat(parts, dim=1)
