"""``CCELLAPipeline``: from a radiology report to synthetic volumes, in one call that is read from top to bottom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from monai.apps.generation.maisi.networks.autoencoderkl_maisi import AutoencoderKlMaisi

from ccella_core.devices import choose_device, choose_dtype
from ccella_core.errors import Cancelled, InputError
from ccella_core.generation.components import Components, check_components, load_components, save_components
from ccella_core.generation.decoding import check_volume_shape, decode
from ccella_core.generation.options import (
    checked_guidance,
    checked_seeds,
    checked_shape,
    checked_spacing,
    memory_explained,
)
from ccella_core.generation.report_text import NULL_REPORT, check_report
from ccella_core.generation.sampling import StepInfo, latent_shape_multiple, parse_pathology, sample
from ccella_core.generation.schedulers import Scheduler, SchedulerConfig, SchedulerName
from ccella_core.generation.text_encoder import ReportEncoder
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.models.model import ModelFolder, ModelIndex
from ccella_core.models.search import resolve_model
from ccella_core.networks import AutoencoderConfig, ConditionalDenoiser
from ccella_core.progress import GenerationStage, Progress, ProgressCallback, Stopwatch
from ccella_core.provenance import Provenance, SequenceName

BATCH_LATENT_VOXELS = 131_072
"""Latent voxels that the U-Net sees at once: one volume of the published size, whose activations take some GiB."""
MAX_BATCH = 8
"""Beyond this a batch is hardly faster, and the first volume is longer in coming."""


class CCELLAPipeline:
    """A model that is ready to generate: networks, noise schedule, report encoder and what the model says of them.

    To free the report encoder's memory once a report was encoded: ``pipeline.encoder.release()``.

    Args:
        denoiser: in any variant.
        autoencoder: built from ``autoencoder_config``; only its decoder is used.
        autoencoder_config: its size.
        scheduler_config: the noise schedule that ``denoiser`` was trained with.
        encoder: the report encoder that it was trained with; ``None`` for variants without text.
        index: name, defaults, ranges and scale. ``save_pretrained`` fills in ``variant``, ``components`` and hashes.
        model_sha256: the hash of the model that this was loaded from, ``""`` if it never was saved.
        device, dtype: see ``devices.choose_device`` and ``choose_dtype``. The encoder stays where it is.

    Raises:
        ModelError: the parts do not fit each other.
    """

    def __init__(
        self,
        *,
        denoiser: ConditionalDenoiser,
        autoencoder: AutoencoderKlMaisi,
        autoencoder_config: AutoencoderConfig,
        scheduler_config: SchedulerConfig,
        encoder: ReportEncoder | None,
        index: ModelIndex,
        model_sha256: str = "",
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        check_components(denoiser.config, autoencoder_config, encoder, index)
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        self.denoiser = denoiser.to(self.device).eval()
        self.autoencoder = autoencoder.to(self.device).eval()
        self.autoencoder_config = autoencoder_config
        self.scheduler_config = scheduler_config
        self.encoder = encoder
        self.index = index
        self.model_sha256 = model_sha256

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | ModelFolder,
        *,
        device: str = "auto",
        dtype: str = "auto",
        verify: bool = True,
        allow_download: bool = False,
    ) -> CCELLAPipeline:
        """Load a model.

        Args:
            model: a folder, a name, or ``hf:owner/name``, see ``model_search.resolve_model``.
            device, dtype: see ``devices.choose_device`` and ``choose_dtype``.
            verify: read every file and compare its hash first: a second per GB.
            allow_download: fetch a model that is named ``hf:owner/name`` and not on this computer.

        Raises:
            ModelError: missing, altered, or not fitting; nothing ever runs on weights that were not loaded.
            InputError: no such device or precision.
        """
        where = choose_device(device)
        found = model if isinstance(model, ModelFolder) else resolve_model(model, allow_download=allow_download)
        if verify:
            found.verify()
        return cls(
            **load_components(found, where), index=found.index, model_sha256=found.sha256, device=device, dtype=dtype
        )

    def save_pretrained(
        self, path: str | Path, *, overwrite: bool = False, storage_dtype: torch.dtype | None = torch.float16
    ) -> ModelFolder:
        """Write everything as a model, whole or not at all.

        Args:
            path: the new folder.
            overwrite: replace a model that is there.
            storage_dtype: of the weights of denoiser and autoencoder on the disk; ``None`` keeps theirs. What is
                loaded again computes in float32, from the rounded weights.

        Raises:
            SaveError: ``path`` is taken, or the disk refuses.
            NonFiniteError: a weight is NaN or infinite.
        """
        parts: Components = {
            "denoiser": self.denoiser,
            "autoencoder": self.autoencoder,
            "autoencoder_config": self.autoencoder_config,
            "scheduler_config": self.scheduler_config,
            "encoder": self.encoder,
        }
        model = save_components(path, parts, self.index, overwrite=overwrite, storage_dtype=storage_dtype)
        self.index, self.model_sha256 = model.index, model.sha256
        return model

    @property
    def shape_multiple(self) -> int:
        """Each axis of a volume must be a multiple of this many voxels."""
        return self.autoencoder_config.factor * latent_shape_multiple(self.denoiser)

    def __call__(
        self,
        report: str | None = None,
        *,
        pathology: str | float | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        scheduler: SchedulerName | None = None,
        guidance_scale: float = 1.0,
        count: int = 1,
        shape: Sequence[int] | None = None,
        spacing: Sequence[float] | None = None,
        memory_limit_gib: float | None = None,
        allow_null: bool = False,
        callback: ProgressCallback | None = None,
    ) -> list[SyntheticVolume]:
        """Generate ``count`` examinations of one report, each of as many volumes as the model has sequences.

        Args:
            report: the radiology report; ``None`` for variants that read none.
            pathology: ``"negative"``, ``"positive"``, a probability of positive, or ``None``: as the report says.
            seed: 0 … 2**63 - 1; ``None`` draws a new one. The volumes get ``seed``, ``seed + 1``, …, and each can be
                made again alone from the seed in its provenance, equal up to rounding.
            num_inference_steps, scheduler: default to the model's.
            guidance_scale: 1: off; see ``sampling.sample``.
            count: 1 … ``MAX_COUNT``.
            shape: (X, Y, Z) voxels, multiples of ``shape_multiple``; the model's native shape by default.
            spacing: mm along X, Y, Z; the model's native spacing by default.
            memory_limit_gib: see ``decode.decode``.
            allow_null: ``NULL_REPORT`` is no mistake: the case has no report.
            callback: told of every step; ``False`` stops with ``Cancelled``.

        Returns:
            Volumes in RAS+, their centre at the origin, in the model's intensity range of the sequence. A model of
            several sequences gives each of them for every seed: those of the first seed, then of the next.

        Raises:
            InputError: an argument that cannot be used, or too little memory.
            NonFiniteError: a network gave NaN or infinity.
            Cancelled: ``callback`` returned ``False``.
        """
        # 1. Check everything before anything slow begins.
        num_inference_steps = (
            self.index.default_num_inference_steps if num_inference_steps is None else num_inference_steps
        )
        walk = Scheduler(scheduler or self.index.default_scheduler, self.scheduler_config, num_inference_steps)  # type: ignore[arg-type]
        asked = parse_pathology(pathology)
        guidance_scale = checked_guidance(guidance_scale)
        seeds = checked_seeds(seed, count)
        native = self.index.native_shape if shape is None else checked_shape(shape)
        voxel_shape = check_volume_shape(native, multiple=self.shape_multiple)
        latent_shape = tuple(size // self.autoencoder_config.factor for size in voxel_shape)
        spacing_mm = checked_spacing(self.index.native_spacing_mm if spacing is None else spacing)
        report = self._checked_report(report, allow_null=allow_null)

        size = max(1, min(MAX_BATCH, BATCH_LATENT_VOXELS // math.prod(latent_shape)))
        batches = [seeds[start : start + size] for start in range(0, count, size)]
        stopwatch = Stopwatch([len(batch) for batch in batches])

        def tell(
            batch: int, stage: GenerationStage, step: int, steps: int, info: StepInfo | None = None
        ) -> bool | None:
            left = stopwatch.seconds_left(stage, step, steps, batch)
            progress = Progress(stage, step, steps, batch, len(batches), left, info.preview if info else None)
            return None if callback is None else callback(progress)

        def tell_denoising(batch: int, info: StepInfo) -> bool | None:
            return tell(batch, "denoise", info.step, info.steps, info)

        def tell_decoding(batch: int, place: int, step: int, steps: int) -> bool | None:
            return tell(batch, "decode", place * steps + step, len(factors) * steps)

        factors = self.index.scale_factors
        decode_one = partial(decode, self.autoencoder, memory_limit_gib=memory_limit_gib)
        volumes = []
        with memory_explained():
            # 2. Encode the report, and the empty one that guidance compares it with.
            text = null_text = None
            if self.encoder is not None:
                text = self.encoder.encode([report])
                null_text = self.encoder.encode([NULL_REPORT]) if guidance_scale != 1 else None
                if tell(0, "encode", 1, 1) is False:
                    raise Cancelled("Generation was stopped after the report was encoded.")
            for number, batch in enumerate(batches):
                # 3. Denoise.
                latents, positive, _ = sample(
                    self.denoiser,
                    self.scheduler_config,
                    text=text,
                    null_text=null_text,
                    pathology=pathology,
                    shape=latent_shape,
                    spacing=spacing_mm,
                    seeds=batch,
                    scheduler=walk.name,
                    num_inference_steps=num_inference_steps,
                    guidance_scale=guidance_scale,
                    dtype=self.dtype,
                    callback=partial(tell_denoising, number),
                )
                # 4. Decode, one sequence after the other; their latents are stacked.
                stacked = zip(latents.chunk(len(factors), dim=1), factors, strict=True)
                decoded = [
                    decode_one(latent, scale_factor=factor, callback=partial(tell_decoding, number, place))
                    for place, (latent, factor) in enumerate(stacked)
                ]
                # 5. Say how each was made.
                for row, own_seed in enumerate(batch):
                    predicted = None if positive is None else float(positive[row])
                    provenance = Provenance(
                        model_name=self.index.name,
                        model_version=self.index.version,
                        model_sha256=self.model_sha256,
                        report=report,
                        pathology_requested=pathology,
                        predicted_positive_probability=predicted,
                        seed=own_seed,
                        scheduler=walk.name,
                        steps=num_inference_steps,
                        guidance_scale=guidance_scale,
                        shape=voxel_shape,
                        spacing=spacing_mm,
                        device=str(self.device),
                        dtype=str(self.dtype).removeprefix("torch."),
                        warnings=self._warnings(report, asked, predicted),
                    )
                    volumes += [
                        self._volume(voxels[row, 0].numpy(), sequence, provenance)
                        for sequence, voxels in zip(self.index.sequences, decoded, strict=True)
                    ]
        return volumes

    def _checked_report(self, report: str | None, *, allow_null: bool) -> str:
        if self.encoder is None:
            if report is not None:
                raise InputError(f"The model {self.index.name} reads no report; leave it out.")
            return ""
        if report is None:
            raise InputError(f"The model {self.index.name} reads a report; give one.")
        return NULL_REPORT if allow_null and report == NULL_REPORT else check_report(report)

    def _warnings(self, report: str, asked: float | None, predicted: float | None) -> list[str]:
        warnings = []
        if self.encoder is not None and (count := self.encoder.count_tokens(report)).truncated:
            warnings.append(
                f"The report is {count.tokens} tokens long and the model reads the last {count.limit}: "
                "its beginning was not read."
            )
        if asked is not None and predicted is not None and (asked - 0.5) * (predicted - 0.5) < 0:
            words = "positive" if asked > 0.5 else "negative"
            warnings.append(
                f"The pathology asked for is {words}, but the model reads the report as {predicted:.0%} positive."
            )
        if not self.model_sha256:
            warnings.append("The model was never saved as a model, so this volume cannot be traced to its weights.")
        return warnings

    def _volume(self, decoded: np.ndarray, sequence: SequenceName, provenance: Provenance) -> SyntheticVolume:
        """Voxels (X, Y, Z) that the autoencoder gave in 0 … 1, in the sequence's own range and with their geometry."""
        low, high = self.index.intensity_range[sequence]
        affine = np.diag([*provenance.spacing, 1.0])
        affine[:3, 3] = -np.multiply(provenance.spacing, np.subtract(provenance.shape, 1)) / 2
        return SyntheticVolume(low + (high - low) * decoded.clip(0, 1), affine, sequence, provenance)
