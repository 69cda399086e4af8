"""What a sampling loop keeps of latents that are given: image to image, and inpainting.

As Diffusers' pipelines of these names have it. From the strength's timestep on, the denoiser draws what may be drawn;
what may not is set after every step to the given latent with that step's noise (Avrahami et al. 2023, blended latent
diffusion, arXiv 2206.02779), so that the denoiser always sees it around what it draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from ccella_core.generation.sampling.ready_schedulers import HandedInScheduler
from ccella_core.generation.sampling.schedulers import Scheduler, SchedulerConfig
from ccella_core.networks.config import latent_shape

if TYPE_CHECKING:
    from ccella_core.generation.edit import ScanToEdit
    from ccella_core.generation.job import Job
    from ccella_core.generation.pipeline import CCELLAPipeline


@dataclass(frozen=True)
class KnownLatent:
    """A given latent, and what of it is drawn anew."""

    clean: Tensor
    """(1, C, x, y, z); anything where it is missing."""
    missing: Tensor
    """(1, C, 1, 1, 1) bool: channels that are not given and are drawn from the beginning, with the others in view."""
    drawn: Tensor
    """(1, 1, x, y, z) bool: what is drawn anew of the channels that are given."""
    strength: float
    """Share of the steps for which it is drawn, above 0 and up to 1, where nothing of it stays."""


@torch.inference_mode()
def encode_known(pipeline: CCELLAPipeline, edit: ScanToEdit, job: Job) -> KnownLatent:
    """The latents of the scans of a job that edits them, and what of them is drawn anew."""
    assert job.grid is not None and job.options.strength is not None
    config = pipeline.autoencoder_config
    size = config.latent_channels
    clean = []
    index = pipeline.index
    stacked = index.stacked(job.parts)
    scales = dict(zip(index.parts, index.scale_factors, strict=True))
    for part in stacked:
        if part in index.sequences and part in edit.scans:
            voxels = torch.from_numpy(edit.on(job.grid, part))[None, None].to(pipeline.device)  # type: ignore[arg-type]
            scale = torch.tensor(scales[part]).view(-1, 1, 1, 1)
            clean.append(pipeline.autoencoder.encode(voxels)[0].float().cpu() * scale)
        else:
            clean.append(torch.zeros((1, size, *latent_shape(config, job.shape))))
    missing = [part not in edit.scans for part in stacked for _ in range(size)]
    drawn = torch.from_numpy(edit.drawn(job.grid)).float()
    return KnownLatent(
        clean=torch.cat(clean, dim=1),
        missing=torch.tensor(missing).view(1, -1, 1, 1, 1),
        drawn=F.max_pool3d(drawn[None, None], config.factors) > 0,
        strength=job.options.strength,
    )


class KeptLatent:
    """A ``KnownLatent`` on its way through one sampling loop.

    Args:
        known: the latent.
        config: the noise schedule.
        scheduler: is told to begin at ``first``.
        timesteps: (T,), the scheduler's as the network knows them.
        noise: (B, C, x, y, z), with which the loop begins.
    """

    def __init__(
        self,
        known: KnownLatent,
        config: SchedulerConfig,
        scheduler: Scheduler | HandedInScheduler,
        timesteps: Tensor,
        noise: Tensor,
    ) -> None:
        self._known, self._config, self._noise = known, config, noise
        self._timesteps = timesteps
        steps = len(timesteps)
        released = steps - max(1, int(steps * known.strength))
        self._released = released - released % scheduler.order
        self.first = 0 if known.missing.any() else self._released
        """The step that the loop begins with: channels that are missing are drawn from noise, others not."""
        scheduler.begin_at(self.first)

    def keep(self, x: Tensor, step: int) -> Tensor:
        """The latent (B, C, x, y, z) before ``step``, with what is kept as it should be at that noise."""
        known = self._known.clean
        if step < len(self._timesteps):
            known = self._config.noised(known, self._noise, self._timesteps[step : step + 1])
        drawn = self._known.missing
        if step > self._released or self._released == 0:
            drawn = drawn | self._known.drawn
        return torch.where(drawn, x, known)
