"""The cases of a split where the network learns from them: on its device, if they fit, or coming with each batch."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from ccella_core.limits import GIB
from ccella_core.runs.batches import DataLoading
from ccella_core.training.data.cached_cases import CachedCases

HALF_BYTES = torch.float16.itemsize


class DeviceCases:
    """The cases of a split as the network sees them, whether they lie on the device or come with each batch.

    Args:
        cases: of the cache.
        device: where the network is.
        budget_bytes: of the device's memory. Latents are kept there if all of them fit, then the encoded reports if
            they fit as well; 0: nothing is.
        latents: whether they are needed at all.
    """

    def __init__(
        self, cases: CachedCases, device: torch.device, *, budget_bytes: float = 0, latents: bool = True
    ) -> None:
        self.device = device
        self._scale = cases.scale.to(device)
        self._latents = self._text = None
        needed = HALF_BYTES * len(cases) * int(torch.tensor(cases.latent_shape).prod())
        if latents and needed <= budget_bytes:
            self._latents = torch.empty(len(cases), *cases.latent_shape, dtype=torch.float16, device=device)
            for row in range(len(cases)):
                self._latents[row] = cases.stored_latents([row])[0]
            budget_bytes -= needed
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


class CaseLoading(DataLoading):
    """How cached cases come to the device; none of it changes the weights."""

    device_gib: float = Field(
        4.0, ge=0, description="of a GPU's memory, in which latents and encoded reports are kept if they fit"
    )

    def on_device(self, cases: CachedCases, device: torch.device, *, latents: bool = True) -> DeviceCases:
        """These cases on ``device``, as far as they fit; on processors nothing is kept twice."""
        budget = 0.0 if device.type == "cpu" else self.device_gib * GIB
        return DeviceCases(cases, device, budget_bytes=budget, latents=latents)
