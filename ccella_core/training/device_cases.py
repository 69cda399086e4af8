"""Latents and encoded reports beside the network: on the device as far as they fit, sent there otherwise."""

from __future__ import annotations

import torch
from torch import Tensor

from ccella_core.training.cached_cases import CachedCases

HALF_BYTES = 2


class DeviceCases:
    """The cases of a split as the network sees them, whether they lie on the device or come with each batch.

    Args:
        cases: of the cache.
        device: where the network is.
        budget_bytes: of the device's memory. Latents are kept there if all of them fit, then the encoded reports if
            they fit as well; 0: nothing is.
    """

    def __init__(self, cases: CachedCases, device: torch.device, *, budget_bytes: float = 0) -> None:
        self.spacing = cases.spacing.to(device)
        self._scale = cases.scale.to(device)
        self._latents = self._text = None
        latents = HALF_BYTES * len(cases) * int(torch.tensor(cases.latent_shape).prod())
        if latents <= budget_bytes:
            self._latents = torch.empty(len(cases), *cases.latent_shape, dtype=torch.float16, device=device)
            for row in range(len(cases)):
                self._latents[row] = cases.stored_latents([row])[0]
            budget_bytes -= latents
        if cases.null_text is not None:
            count = cases.report_count + 1
            if HALF_BYTES * count * cases.null_text.numel() <= budget_bytes:
                self._text = torch.empty(count, *cases.null_text.shape, dtype=torch.float16, device=device)
                for number in range(count):
                    self._text[number] = cases.stored_report(number)

    @property
    def keeps_latents(self) -> bool:
        """Whether batches need only say which."""
        return self._latents is not None

    @property
    def keeps_text(self) -> bool:
        """Whether batches need only say which."""
        return self._text is not None

    def latents(self, latents: Tensor) -> Tensor:
        """(B, C, x, y, z) float32 of unit variance, of what a batch brings: (B,) rows, or latents as stored."""
        stored = latents if self._latents is None else self._latents.index_select(0, latents)
        return stored.float() * self._scale

    def text(self, text: Tensor) -> Tensor:
        """(B, L, D) float32 of what a batch brings: (B,) numbers of reports, or reports as they are stored."""
        return (text if self._text is None else self._text.index_select(0, text)).float()
