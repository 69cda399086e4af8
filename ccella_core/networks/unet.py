"""MONAI's MAISI U-Net with one more embedding: the pathology class."""

from __future__ import annotations

import torch
from monai.apps.generation.maisi.networks.diffusion_model_unet_maisi import DiffusionModelUNetMaisi
from torch import Tensor

from ccella_core.networks.config import UNetConfig

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
