"""The adapter: a timestep-aware perceiver that turns a report's tokens into the U-Net's, and predicts the class.

After "ELLA: Equip Diffusion Models with LLM for Enhanced Semantic Alignment" (Hu et al. 2024, arXiv 2403.05135), with
the class heads of CCELLA (arXiv 2506.10230, section "Class-conditioned ELLA").
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn
from torch.nn import functional as F

from ccella_core.networks.config import AdapterConfig, HeadPlacement


class AdaptiveLayerNorm(nn.Module):
    """Layer normalisation whose shift and scale come from the timestep embedding; the identity at initialisation."""

    def __init__(self, width: int, time_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(time_width, 2 * width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)

    def forward(self, x: Tensor, time_embedding: Tensor) -> Tensor:
        """Tokens (B, N, W), shifted and scaled by the timestep's embedding (B, T)."""
        shift, scale = self.linear(F.silu(time_embedding)).chunk(2, dim=-1)
        return self.norm(x) * (1 + scale) + shift


class SquaredReLU(nn.Module):
    """The square of a rectified linear unit."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, elementwise."""
        return torch.relu(x).square()


class PerceiverBlock(nn.Module):
    """Latents attend to themselves and the text, then pass a feed-forward layer.

    There is no padding mask: the published weights were trained to attend to the encoder's padding tokens too.
    """

    def __init__(self, width: int, heads: int, time_width: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width),
                activation=SquaredReLU(),
                c_proj=nn.Linear(4 * width, width),
            )
        )
        self.ln_1 = AdaptiveLayerNorm(width, time_width)
        self.ln_2 = AdaptiveLayerNorm(width, time_width)
        self.ln_ff = AdaptiveLayerNorm(width, time_width)

    def forward(self, latents: Tensor, text: Tensor, time_embedding: Tensor) -> Tensor:
        """Latents (B, N, W) that have attended to themselves and to the text (B, L, W)."""
        query = self.ln_1(latents, time_embedding)
        source = torch.cat((query, self.ln_2(text, time_embedding)), dim=1)
        latents = latents + self.attn(query, source, source, need_weights=False)[0]
        return latents + self.mlp(self.ln_ff(latents, time_embedding))


class ClassHead(nn.Module):
    """Class logits from all tokens at once: (B, N, W) → (B, K)."""

    def __init__(self, config: AdapterConfig, num_classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.num_latents * config.width, config.class_hidden)
        self.fc2 = nn.Linear(config.class_hidden, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Class logits (B, K) of tokens (B, N, W)."""
        return self.fc2(torch.relu(self.fc1(tokens.flatten(1))))


class Adapter(nn.Module):
    """Report tokens and timestep in, U-Net tokens and class logits out."""

    def __init__(self, config: AdapterConfig, *, class_heads: HeadPlacement | None, num_classes: int) -> None:
        super().__init__()
        self.placement = class_heads
        self.time_features = Timesteps(config.time_channels, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(config.time_channels, config.width)
        self.time_to_latents = nn.Linear(config.width, config.width)
        self.text_projection = nn.Linear(config.text_width, config.width)
        self.latents = nn.Parameter(config.width**-0.5 * torch.randn(config.num_latents, config.width))
        self.blocks = nn.ModuleList(
            PerceiverBlock(config.width, config.heads, config.width) for _ in range(config.layers)
        )
        num_heads = {"per_block": config.layers, "shared": 1, "first": 1, "last": 1, None: 0}[class_heads]
        self.class_heads = nn.ModuleList(ClassHead(config, num_classes) for _ in range(num_heads))
        # Where every block has its say, a linear layer weighs the six opinions.
        self.class_vote = (
            nn.Linear(config.layers * num_classes, num_classes) if class_heads in ("per_block", "shared") else None
        )

    def forward(self, text: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens and class of a batch of reports at one timestep each.

        Args:
            text: the report encoder's output, (B, L, text width).
            timesteps: (B,), 0 … 999.

        Returns:
            Tokens (B, N, W) and class logits (B, K), or ``None`` where this variant predicts no class.
        """
        features = self.time_features(timesteps).to(text.dtype)
        time_embedding = self.time_embedding(features).unsqueeze(1)
        tokens = self.latents + self.time_to_latents(F.silu(time_embedding))
        text = self.text_projection(text)
        after_block = []
        for block in self.blocks:
            tokens = block(tokens, text, time_embedding)
            after_block.append(tokens)
        return tokens, self._class_logits(after_block)

    def _class_logits(self, after_block: list[Tensor]) -> Tensor | None:
        if self.placement is None:
            return None
        if self.placement == "first":
            return self.class_heads[0](after_block[0])
        if self.placement == "last":
            return self.class_heads[0](after_block[-1])
        heads = list(self.class_heads) * (len(after_block) if self.placement == "shared" else 1)
        opinions = [head(tokens) for head, tokens in zip(heads, after_block, strict=True)]
        assert self.class_vote is not None
        return self.class_vote(torch.cat(opinions, dim=1))
