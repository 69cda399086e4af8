"""The autoencoder between voxels and latents: MONAI's ``AutoencoderKlMaisi``, or a lapped block transform."""

from __future__ import annotations

from monai.apps.generation.maisi.networks.autoencoderkl_maisi import AutoencoderKlMaisi, MaisiGroupNorm3D
from torch import nn

from ccella_core.networks.config import AutoencoderConfig
from ccella_core.networks.lapped import LappedTransform

Autoencoder = AutoencoderKlMaisi | LappedTransform


def build_autoencoder(config: AutoencoderConfig, *, norm_float16: bool = False) -> Autoencoder:
    """An untrained autoencoder of (B, 1, X, Y, Z) voxels.

    Args:
        config: its size.
        norm_float16: halve the memory of the normalised activations; only useful on a GPU.
    """
    if config.kind == "lapped":
        return LappedTransform(config)
    levels = len(config.num_channels)
    autoencoder = AutoencoderKlMaisi(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        latent_channels=config.latent_channels,
        num_channels=config.num_channels,
        num_res_blocks=config.num_res_blocks,
        norm_num_groups=config.norm_num_groups,
        norm_eps=config.norm_eps,
        attention_levels=(False,) * levels,
        with_encoder_nonlocal_attn=False,
        with_decoder_nonlocal_attn=False,
        include_fc=False,
        use_combined_linear=False,
        use_flash_attention=False,
        use_convtranspose=False,
        # The split axis of MONAI's convolutions shrinks volumes silently when it does not divide; tiles are ours.
        num_splits=1,
        dim_split=0,
        norm_float16=norm_float16,
        print_info=False,
        # It only calls torch.cuda.empty_cache() and gc between layers, which costs time and saves nothing here.
        save_mem=False,
    )
    if not norm_float16:
        _use_native_group_norm(autoencoder)
    return autoencoder


def _use_native_group_norm(module: nn.Module) -> None:
    """MONAI's group norm loops over the groups and copies; torch's own has the same parameters and the same result."""
    for name, child in module.named_children():
        if isinstance(child, MaisiGroupNorm3D):
            setattr(module, name, nn.GroupNorm(child.num_groups, child.num_channels, child.eps))
        else:
            _use_native_group_norm(child)
