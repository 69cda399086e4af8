"""What a network is, as data: checked configuration, and the nine published variants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from ccella_core.config import StrictModel
from ccella_core.errors import InputError

Variant = Literal["ccella", "first", "last", "shared", "decoupled", "ellamaisi", "radmaisi", "maisi", "modality"]
Triple = tuple[int, int, int]
HeadPlacement = Literal["per_block", "first", "last", "shared"]

MAX_AXIS = 1024
"""Longest axis of a volume in voxels; a longer one is surely a mistake."""


class VariantTraits(NamedTuple):
    """What sets one published variant apart (paper, "Ablation study"; ``modality``: NVIDIA's NV-Generate-MR)."""

    uses_text: bool
    """The report reaches the U-Net through cross-attention."""
    uses_class: bool
    """The pathology class reaches the U-Net through the timestep embedding."""
    class_heads: HeadPlacement | None
    """Where the class is predicted from the report; ``None``: it is given from outside, or not used."""
    uses_modality: bool = False
    """A label of the modality (T2, ADC, …) reaches the U-Net through the timestep embedding."""


VARIANTS: dict[Variant, VariantTraits] = {
    "ccella": VariantTraits(True, True, "per_block"),
    "first": VariantTraits(True, True, "first"),
    "last": VariantTraits(True, True, "last"),
    "shared": VariantTraits(True, True, "shared"),
    "decoupled": VariantTraits(True, True, None),
    "ellamaisi": VariantTraits(True, False, None),
    "radmaisi": VariantTraits(False, True, None),
    "maisi": VariantTraits(False, False, None),
    "modality": VariantTraits(False, False, None, uses_modality=True),
}

REPORT_VARIANTS: tuple[Variant, ...] = tuple(name for name, traits in VARIANTS.items() if not traits.uses_modality)
"""The eight that the paper compares, which this library trains."""
PUBLISHED_MODALITY_LABELS = 128

Channels = Annotated[int, Field(gt=0, le=8192)]
"""Of a level: sixteen times the published network's widest."""
Width = Annotated[int, Field(gt=0, le=32768)]
"""Of tokens and of what is computed from them: eight times the widest that is published."""
Blocks = Annotated[int, Field(gt=0, le=64)]
"""One after the other."""
FLOW_TIMESTEPS = 1000
"""Timesteps of a rectified flow from clean to noise, for the networks that must know."""
MOST_LEVELS = 8
MOST_DETAIL_STEPS = 100
"""Each halves the sides: beyond this a volume would need more than a thousand voxels along each."""


class AdapterConfig(StrictModel):
    """The timestep-aware perceiver. Defaults: the published size."""

    text_width: Width = Field(4096, description="width of the report encoder's tokens; FLAN-T5-XXL: 4096")
    width: Width = Field(768, description="width of the adapter's tokens, the U-Net's cross-attention width")
    num_latents: Width = Field(256, description="tokens that the adapter gives to the U-Net")
    layers: Blocks = Field(6, description="blocks of the perceiver")
    heads: Width = Field(8, description="of attention in each; divides `width`")
    time_channels: Width = Field(320, description="sinusoidal features of the timestep")
    class_hidden: Width = Field(256, description="hidden units of a class head")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> AdapterConfig:
        if self.width % self.heads:
            raise ValueError(f"adapter width {self.width} is not a multiple of its {self.heads} heads")
        return self


def _refuse_uneven_groups(num_channels: Sequence[int], groups: int) -> None:
    if uneven := [channels for channels in num_channels if channels % groups]:
        raise ValueError(f"norm_num_groups: {groups} do not divide the {uneven[0]} in num_channels evenly")


class UNetConfig(StrictModel):
    """The U-Net: MONAI's ``DiffusionModelUNetMaisi``, or ``PlanarUNet``. Defaults: the published one and its size."""

    kind: Literal["maisi", "planar"] = Field(
        "maisi", description="the published one, or one that halves planes alone, for latents of `lapped` autoencoders"
    )
    latent_channels: Channels = Field(4, description="the autoencoder's, times the sequences and labels")
    num_channels: tuple[Channels, ...] = Field(
        (64, 128, 256, 512), min_length=1, max_length=MOST_LEVELS, description="of each level, each half as fine"
    )
    attention_levels: tuple[bool, ...] = Field((False, False, True, True), description="levels that attend to the text")
    num_head_channels: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (0, 0, 32, 32), description="of an attention head, at each level; of the last one also in the middle"
    )
    num_res_blocks: Blocks = Field(2, description="a level")
    norm_num_groups: Channels = Field(32, description="of the group norms of `maisi`; divides all channels")
    modality_labels: Width | None = Field(None, description="labels of modalities that are known; NV-Generate: 128")
    residual_resampling: bool = Field(False, description="residual blocks halve and double, not single convolutions")
    attention_projection: bool = Field(False, description="a linear layer after each self-attention")
    gaussian: bool = Field(
        False,
        description="of `planar`, with prediction_type `flow`: to what is learnt is added the best guess for Gaussian "
        "latents of the training set's spectra, so that the network begins with it",
    )
    expected: bool = Field(
        False,
        description="with `gaussian`: the guess is about the mean of latents with such a report, which "
        "`expect_first` teaches without noise",
    )

    @model_validator(mode="after")
    def _levels_agree(self) -> UNetConfig:
        if not len(self.num_channels) == len(self.attention_levels) == len(self.num_head_channels):
            raise ValueError("num_channels, attention_levels and num_head_channels need one entry a level each")
        if self.kind == "maisi":
            _refuse_uneven_groups(self.num_channels, self.norm_num_groups)
            if self.gaussian:
                raise ValueError("gaussian is of U-Nets of the kind planar alone")
        if self.expected and not self.gaussian:
            raise ValueError("expected needs gaussian, whose guess it is the middle of")
        # The published one attends in the middle as well, with the last level's heads.
        last = len(self.num_channels) - 1 if self.kind == "maisi" else None
        for level in [each for each, attends in enumerate(self.attention_levels) if attends or each == last]:
            channels, head = self.num_channels[level], self.num_head_channels[level]
            if head == 0 or channels % head:
                raise ValueError(
                    f"num_head_channels: {head} at level {level} do not divide its {channels} num_channels evenly"
                )
        return self

    @property
    def halved(self) -> Triple:
        """By how much each level shrinks the axes of the one above."""
        return (2, 2, 2) if self.kind == "maisi" else (2, 2, 1)

    @property
    def shape_multiples(self) -> Triple:
        """Each axis of the latent must be a multiple of its own, or the skip connections do not meet."""
        x, y, z = (int(step ** (len(self.num_channels) - 1)) for step in self.halved)
        return (x, y, z)


class DenoiserConfig(StrictModel):
    """A conditional denoiser: the variant, the U-Net and, where there is text, the adapter."""

    variant: Variant = Field("ccella", description="what conditions the U-Net, and where the class is read")
    num_classes: Literal[2] = Field(2, description="negative and positive, as all reports and cases have them")
    unet: UNetConfig = UNetConfig()
    adapter: AdapterConfig | None = AdapterConfig()

    @model_validator(mode="after")
    def _adapter_goes_with_text(self) -> DenoiserConfig:
        if self.uses_text and self.adapter is None:
            raise ValueError(f"variant {self.variant!r} reads the report and needs an adapter")
        if not self.uses_text and self.adapter is not None:
            raise ValueError(f"variant {self.variant!r} has no text and takes no adapter")
        if self.uses_modality != (self.unet.modality_labels is not None):
            verb = "needs" if self.uses_modality else "takes no"
            raise ValueError(f"variant {self.variant!r} {verb} modality_labels")
        if self.uses_modality and self.unet.kind == "planar":
            raise ValueError("a planar U-Net knows no modalities")
        if self.unet.expected and not self.uses_text:
            raise ValueError(f"variant {self.variant!r} has no text, and so nothing is expected (unet.expected)")
        return self

    @property
    def uses_text(self) -> bool:
        """Whether the report reaches the U-Net."""
        return VARIANTS[self.variant].uses_text

    @property
    def uses_class(self) -> bool:
        """Whether the pathology class reaches the U-Net."""
        return VARIANTS[self.variant].uses_class

    @property
    def uses_modality(self) -> bool:
        """Whether a modality label reaches the U-Net."""
        return VARIANTS[self.variant].uses_modality

    @property
    def predicts_class(self) -> bool:
        """Whether the class is read from the report."""
        return VARIANTS[self.variant].class_heads is not None

    @property
    def latent_channels(self) -> int:
        """Of all sequences and labels together."""
        return self.unet.latent_channels


class DetailConfig(StrictModel):
    """The network with which a lapped transform's decoder draws detail: see ``DetailFlow``."""

    width: Channels = Field(64, description="of the blocks; halved whenever a plane is doubled")
    blocks: Blocks = Field(5, description="one after the other, where planes are as coarse as the latent")
    steps: Annotated[int, Field(ge=3, le=MOST_DETAIL_STEPS)] = Field(8, description="from noise to detail")


class AutoencoderConfig(StrictModel):
    """The autoencoder. Defaults: MONAI's ``AutoencoderKlMaisi`` as published, which shrinks each axis four times."""

    kind: Literal["maisi", "lapped"] = Field(
        "maisi", description="MAISI's, or a linear transform of overlapping blocks that shrinks planes alone"
    )
    block: int = Field(8, gt=1, le=64, description="voxels along the sides of a block; for `lapped`, without levels")
    latent_channels: Channels = Field(4, description="numbers that a latent voxel holds")
    num_channels: tuple[Channels, ...] = Field(
        (64, 128, 256),
        min_length=1,
        max_length=MOST_LEVELS,
        description="of each level; each but the last halves the size",
    )
    num_res_blocks: tuple[Blocks, ...] = Field((2, 2, 2), description="of each level")
    norm_num_groups: Channels = Field(32, description="of the group norms; divides all channels")
    norm_eps: float = Field(1e-6, gt=0, le=1, description="of the group norms")
    detail: DetailConfig | None = Field(
        None, description="of `lapped`: a network of the decoder that draws what its linear part leaves out"
    )

    @model_validator(mode="after")
    def _levels_agree(self) -> AutoencoderConfig:
        if len(self.num_channels) != len(self.num_res_blocks):
            raise ValueError("num_channels and num_res_blocks need one entry a level each")
        _refuse_uneven_groups(self.num_channels, self.norm_num_groups)
        return self

    @model_validator(mode="after")
    def _detail_fits(self) -> AutoencoderConfig:
        if self.detail is None:
            return self
        if self.kind != "lapped":
            raise ValueError("detail is of autoencoders of the kind lapped alone")
        if self.block & (self.block - 1) or self.detail.width % self.block:
            raise ValueError(
                f"detail needs a block that is a power of two and divides its width: not {self.block} and "
                f"{self.detail.width}"
            )
        return self

    @property
    def factors(self) -> Triple:
        """Voxels per latent element along each axis."""
        if self.kind == "lapped":
            return (self.block, self.block, 1)
        factor = int(2 ** (len(self.num_channels) - 1))
        return (factor, factor, factor)


def latent_shape(autoencoder: AutoencoderConfig, shape: Triple) -> Triple:
    """(x, y, z) of the latent of a volume (X, Y, Z), whose axes are multiples of ``volume_multiples``."""
    x, y, z = (size // factor for size, factor in zip(shape, autoencoder.factors, strict=True))
    return (x, y, z)


def volume_multiples(autoencoder: AutoencoderConfig, unet: UNetConfig) -> Triple:
    """Each axis of a volume must be a multiple of its own number of voxels for the two networks to take it."""
    x, y, z = (a * b for a, b in zip(autoencoder.factors, unet.shape_multiples, strict=True))
    return (x, y, z)


def check_volume_shape(shape: Sequence[int], *, multiples: Triple, maximum: int = MAX_AXIS) -> Triple:
    """``shape`` if the networks can make such a volume.

    Args:
        shape: (X, Y, Z) in voxels.
        multiples: see ``volume_multiples``; each axis must be a multiple of its own.
        maximum: longest axis.

    Raises:
        InputError: names the nearest valid sizes below and above, axis by axis.
    """
    if len(shape) != 3 or any(isinstance(size, bool) or not isinstance(size, int) for size in shape):
        raise InputError(f"A volume's shape is three whole numbers of voxels, not {shape!r}.")
    wrong = []
    for axis, size, multiple in zip("XYZ", shape, multiples, strict=True):
        if size % multiple or not multiple <= size <= maximum:
            below = min(size, maximum) // multiple * multiple
            above = -(-size // multiple) * multiple
            valid = sorted({v for v in (below, above) if multiple <= v <= maximum} or {multiple})
            wrong.append(f"{axis} = {size} (nearest: {' or '.join(map(str, valid))})")
    if wrong:
        of = str(multiples[0]) if len(set(multiples)) == 1 else " × ".join(map(str, multiples))
        raise InputError(f"Each axis must be a multiple of {of} up to {maximum} voxels: {', '.join(wrong)}.")
    return (shape[0], shape[1], shape[2])
