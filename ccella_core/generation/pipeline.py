"""``CCELLAPipeline``: from a radiology report to synthetic volumes, in one call that is read from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ccella_core.devices import choose_device, choose_dtype, memory_explained
from ccella_core.errors import Cancelled, InputError
from ccella_core.generation.components import Components, check_components, load_components, save_components
from ccella_core.generation.decoding import decode, seeds_of_part
from ccella_core.generation.edit import ScanToEdit, Source, Sphere, edit_of
from ccella_core.generation.intensity import in_range
from ccella_core.generation.job import Job, prepare, provenance_of
from ccella_core.generation.options import GenerationKeywords, GenerationOptions, read_options
from ccella_core.generation.remote_pipeline import DEFAULT_MODEL, RemotePipeline
from ccella_core.generation.report_text import NULL_REPORT
from ccella_core.generation.sampling.expected_lesion import lesion_channel
from ccella_core.generation.sampling.known_latent import encode_known
from ccella_core.generation.sampling.loop import sample
from ccella_core.generation.sampling.ready_schedulers import ReadyScheduler
from ccella_core.generation.sampling.schedulers import SchedulerConfig
from ccella_core.generation.text_encoder import ReportEncoder
from ccella_core.gland.crop import cropped_around_gland
from ccella_core.imaging.label_map import label_map
from ccella_core.imaging.orientation import affine_of
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.limits import SchedulerName
from ccella_core.models.model import ModelFolder, ModelIndex
from ccella_core.models.report_profile import ReportProfile
from ccella_core.models.search import resolve_model
from ccella_core.networks import AutoencoderConfig, ConditionalDenoiser
from ccella_core.networks.autoencoder import Autoencoder
from ccella_core.networks.config import latent_shape, volume_multiples
from ccella_core.progress import GenerationProgress, ProgressCallback
from ccella_core.provenance import LabelName, Provenance, SequenceName

if TYPE_CHECKING:
    from typing_extensions import Unpack


class CCELLAPipeline:
    """A model that is ready to generate: networks, noise schedule, report encoder and what the model says of them.

    Args:
        denoiser: in any variant.
        autoencoder: built from ``autoencoder_config``; its encoder is used for edits alone.
        autoencoder_config: its size.
        scheduler_config: the noise schedule that ``denoiser`` was trained with.
        encoder: the report encoder that it was trained with; ``None`` for variants without text.
        index: name, defaults, ranges and scale. ``save_pretrained`` fills in ``variant``, ``components`` and hashes.
        report_profile: how its training reports are worded; ``None``: it says nothing of reports in other words.
        model_sha256: the hash of the model that this was loaded from, ``""`` if it never was saved.
        device: see ``devices.choose_device``. The encoder stays where it is.
        dtype: see ``devices.choose_dtype``.

    Raises:
        ModelError: the parts do not fit each other.
    """

    def __init__(
        self,
        *,
        denoiser: ConditionalDenoiser,
        autoencoder: Autoencoder,
        autoencoder_config: AutoencoderConfig,
        scheduler_config: SchedulerConfig,
        encoder: ReportEncoder | None,
        index: ModelIndex,
        report_profile: ReportProfile | None = None,
        model_sha256: str = "",
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        check_components(denoiser.config, autoencoder_config, encoder, index)
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        self.denoiser = denoiser.to(self.device).eval()
        self.autoencoder = autoencoder.to(self.device).eval()
        self.autoencoder_config, self.scheduler_config = autoencoder_config, scheduler_config
        self.encoder = encoder
        self.report_profile = report_profile
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
            device: see ``devices.choose_device``.
            dtype: see ``devices.choose_dtype``.
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

    @classmethod
    def connect(cls, host: str, *, model: str = DEFAULT_MODEL, device: str = "auto") -> RemotePipeline:
        """A pipeline on another computer, by SSH: it is called like this one, and the reports are sent there.

        Args:
            host: ``user@host``, or a name of the user's SSH configuration, in which port and key can be given.
            model: a name, or a folder there.
            device: there.

        Raises:
            InputError: no name of a host.
            RemoteError: it cannot be reached, has no ``ccella``, or one of another release.

        Examples:
            >>> with CCELLAPipeline.connect("me@workstation") as pipeline:
            ...     t2w, hbv, adc = pipeline("PI-RADS 5 lesion in the left peripheral zone.", seed=7)
        """
        return RemotePipeline(host, model=model, device=device)

    def save_pretrained(
        self, path: str | Path, *, overwrite: bool = False, storage_dtype: torch.dtype | None = torch.float16
    ) -> ModelFolder:
        """Write everything as a model, whole or not at all.

        Args:
            path: the new folder.
            overwrite: replace a model that is there.
            storage_dtype: of the weights of denoiser and autoencoder on the disk; ``None`` keeps theirs. With
                ``torch.int8`` denoiser and text encoder have 8 bits and a scale a channel, the autoencoder 16 bits.
                What is loaded again computes in float32, from the rounded weights.

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
            "report_profile": self.report_profile,
        }
        model = save_components(path, parts, self.index, overwrite=overwrite, storage_dtype=storage_dtype)
        self.index, self.model_sha256 = model.index, model.sha256
        return model

    @property
    def shape_multiples(self) -> tuple[int, int, int]:
        """Each axis of a volume must be a multiple of its own number of voxels."""
        return volume_multiples(self.autoencoder_config, self.denoiser.config.unet)

    def __call__(
        self,
        report: str | None = None,
        options: GenerationOptions | None = None,
        *,
        scheduler: SchedulerName | ReadyScheduler | None = None,
        image: ScanToEdit | Source | Mapping[SequenceName, Source] | None = None,
        mask: Source | Sphere | None = None,
        allow_null: bool = False,
        last_call: bool = False,
        callback: ProgressCallback | None = None,
        **keywords: Unpack[GenerationKeywords],
    ) -> list[SyntheticVolume]:
        """Generate ``count`` examinations of one report, each with a volume of every sequence of the model, or of some.

        Args:
            report: the radiology report; ``None`` for variants that read none.
            options: what ``GenerationOptions`` has; by default everything as the model has it.
            scheduler: a name, or a ready object, for instance of Diffusers (see ``ReadyScheduler``), which is copied.
            image: a scan to edit under the report, of the model's first sequence, or several by their sequence; see
                ``scan_to_edit``, which can also read it before there is a pipeline.
            mask: where the scan may change; by default within the model's field of view.
            allow_null: ``NULL_REPORT`` is no mistake: the case has no report.
            last_call: each network's memory is freed as soon as it is done with; no other call can follow.
            callback: called after every step; ``False`` stops with ``Cancelled``.
            **keywords: ``seed``, ``count``, ``sequences``, ``labels``, ``num_inference_steps``, ``guidance_scale``,
                ``shape``, ``spacing``, ``pathology``, ``memory_limit_gib``, ``strength``, ``output_range`` and
                others: see ``GenerationOptions``; over ``options``.

        Returns:
            Volumes in RAS+, their centre at the origin, in the model's intensity range of the sequence unless
            ``output_range`` says otherwise. A model of several stacked sequences gives each of them for every seed:
            those of the first seed, then of the next. Each can be made again alone from its provenance, equal up to
            rounding. A seed's share one label map, ``labels``. Each scan edited gives one, of its grid and intensities.

        Raises:
            InputError: an argument that cannot be used, or too little memory.
            NonFiniteError: a network gave NaN or infinity.
            Cancelled: ``callback`` returned ``False``.

        Examples:
            >>> pipeline = CCELLAPipeline.from_pretrained("ccella-demo")
            >>> t2w, hbv, adc = pipeline("PI-RADS 5 lesion in the left peripheral zone.", seed=7)
            >>> t2w.save("t2w.nii.gz")

            Several reports, and a scheduler of Diffusers:

            >>> unipc = UniPCMultistepScheduler(prediction_type=pipeline.scheduler_config.prediction_type)
            >>> volumes = [v for report in reports for v in pipeline(report, options, scheduler=unipc)]
        """
        if next(self.denoiser.parameters()).is_meta:
            raise InputError("This pipeline has had its last call; load the model again.")
        # 1. Check everything before anything slow begins.
        edit = edit_of(image, mask, self.index.sequences)
        job = prepare(self, report, read_options(options, **keywords), scheduler, allow_null=allow_null, edit=edit)
        progress = GenerationProgress(callback, [len(seeds) for seeds in job.batches])
        volumes = []
        with memory_explained():
            # 2. Encode the report, and the empty one that guidance compares it with.
            text = null_text = None
            if self.encoder is not None:
                text = self.encoder.encode([job.report])
                null_text = self.encoder.encode([NULL_REPORT]) if job.guidance_scale != 1 else None
                if progress.encoded() is False:
                    raise Cancelled("Generation was stopped after the report was encoded.")
                if last_call:
                    self.encoder.release()
            known = None if edit is None else encode_known(self, edit, job)
            for number, seeds in enumerate(job.batches):
                # 3. Denoise.
                latents, positive, _ = sample(
                    self.denoiser,
                    self.scheduler_config,
                    text=text,
                    null_text=null_text,
                    pathology=job.options.pathology,
                    modality=self.index.modality_labels.get(job.parts[0]),  # type: ignore[call-overload,arg-type]
                    shape=latent_shape(self.autoencoder_config, job.shape),
                    spacing=job.spacing,
                    seeds=seeds,
                    scheduler=job.scheduler,
                    guidance_scale=job.guidance_scale,
                    dtype=self.dtype,
                    known=known,
                    lesion_channel=lesion_channel(self.index, self.autoencoder_config),
                    callback=partial(progress.denoised, number),
                )
                if last_call and number == len(job.batches) - 1:
                    self.denoiser.to("meta")
                # 4. Decode, one part after the other.
                stacked = self.index.stacked(job.parts)
                by_part = dict(zip(stacked, latents.chunk(len(stacked), dim=1), strict=True))
                decoded = {
                    part: decode(
                        self.autoencoder,
                        by_part[part],
                        scale_factor=self.index.scale_factors[self.index.parts.index(part)],
                        seeds=seeds_of_part(part, self.index.parts, seeds),
                        memory_limit_gib=job.options.memory_limit_gib,
                        callback=partial(progress.decoded, number, place, len(job.parts)),
                    )
                    for place, part in enumerate(job.parts)
                }
                # 5. Record how each was made.
                for row, seed in enumerate(seeds):
                    provenance = provenance_of(self, job, seed, None if positive is None else float(positive[row]))
                    voxels = {part: several[row, 0].numpy() for part, several in decoded.items()}
                    volumes += self._examination(voxels, provenance, job)
        return volumes

    def _examination(
        self, decoded: dict[SequenceName | LabelName, np.ndarray], provenance: Provenance, job: Job
    ) -> list[SyntheticVolume]:
        """Volumes of the sequences and their label map, of voxels (X, Y, Z) that the autoencoder gave in 0 … 1."""
        affine = np.diag([*provenance.spacing, 1.0])
        affine[:3, 3] = -np.multiply(provenance.spacing, np.subtract(provenance.shape, 1)) / 2
        drawn = {name: decoded[name] for name in self.index.labels if name in decoded}
        labels = label_map(drawn, affine, provenance) if drawn else None
        volumes = []
        for name in self.index.sequences:
            if name in decoded and (edit := job.edit) is not None and job.grid is not None:
                edited = edit.laid_back(job.grid, name, decoded[name].clip(0, 1))
                how = provenance.model_copy(update=edit.hashes(name))
                volumes.append(SyntheticVolume(edited, affine_of(edit.scans[name]), name, how))
            elif name in decoded:
                voxels = in_range(decoded[name], name, self.index, provenance)
                volumes.append(SyntheticVolume(voxels, affine, name, provenance, labels))
        return volumes if provenance.crop_mm is None else cropped_around_gland(volumes, provenance.crop_mm)
