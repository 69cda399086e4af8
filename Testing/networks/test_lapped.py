"""The lapped block transform: its shapes, its beginning as principal components, and what blocks see of each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ccella_core.networks import AutoencoderConfig, build_autoencoder
from ccella_core.networks.config import DetailConfig
from ccella_core.networks.lapped import BlockJoin, BlockSplit, LappedTransform


def lapped(channels: int = 6, block: int = 4, detail: DetailConfig | None = None) -> LappedTransform:
    config = AutoencoderConfig(kind="lapped", latent_channels=channels, block=block, detail=detail)
    transform = build_autoencoder(config)
    assert isinstance(transform, LappedTransform)
    return transform


def smooth(count: int = 3) -> torch.Tensor:
    noise = torch.rand(count, 1, 16, 24, 3, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.avg_pool3d(noise, (5, 5, 1), stride=1, padding=(2, 2, 0))


def test_split_and_join_are_inverse() -> None:
    voxels = torch.rand(2, 1, 8, 12, 3)
    blocks = BlockSplit(4)(voxels)
    assert blocks.shape == (2, 16, 2, 3, 3)
    assert torch.equal(blocks[0, :, 1, 2, 1].view(4, 4), voxels[0, 0, 4:8, 8:12, 1])
    assert torch.equal(BlockJoin(4)(blocks), voxels)


def test_all_components_give_the_volume_back() -> None:
    voxels = smooth()
    transform = lapped(channels=16)
    transform.set_principal_components(voxels, 0.5)
    again, latent, width = transform(voxels)
    assert latent.shape == (3, 16, 4, 6, 3) and not width.any()
    assert torch.allclose(again, voxels, atol=1e-5)


def test_first_components_are_the_strongest() -> None:
    voxels = smooth()
    errors = []
    for channels in (1, 4, 8):
        transform = lapped(channels)
        transform.set_principal_components(voxels, 0.5)
        errors.append(float((transform(voxels)[0].detach() - voxels).square().mean()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_balance_says_how_unlike_the_strengths_are() -> None:
    voxels = smooth()
    ratios = {}
    for balance in (0.0, 0.5, 1.0):
        transform = lapped(4)
        transform.set_principal_components(voxels, balance)
        widths = transform.encode(voxels)[0].std((0, 2, 3, 4))
        ratios[balance] = float(widths[0] / widths[3])
    assert abs(ratios[0.0] - 1) < 1e-3
    assert abs(ratios[0.5] ** 2 / ratios[1.0] - 1) < 1e-3


def test_slices_know_nothing_of_each_other() -> None:
    transform, voxels = lapped(), smooth(1)
    whole = transform(voxels)[0]
    assert torch.allclose(whole[..., 1:2], transform(voxels[..., 1:2])[0], atol=1e-6)


def test_a_block_sees_its_neighbours() -> None:
    transform, voxels = lapped(), smooth(1).requires_grad_()
    transform.encode(voxels)[0][0, :, 1, 1, 0].sum().backward()
    assert voxels.grad is not None
    seen = voxels.grad[0, 0, :, :, 0] != 0
    assert seen[:12, :12].all() and not seen[12:].any() and not seen[:, 12:].any()


def test_detail_is_added_to_what_the_linear_part_draws_and_is_of_each_slice_alone() -> None:
    plain, voxels = lapped(2), smooth(1)
    detailed = lapped(2, detail=DetailConfig(width=8, blocks=1, steps=3))
    detailed.load_state_dict(detailed.state_dict() | plain.state_dict())
    latent = plain.encode(voxels)[0]
    # It begins as a network that knows nothing: without noise it has no opinion, and noise stays noise.
    assert torch.equal(detailed.decode(latent), plain.decode(latent))
    assert detailed.detail is not None
    torch.nn.init.normal_(detailed.detail.last.weight)
    torch.manual_seed(0)
    noise = torch.randn_like(voxels)
    for seen in (None, noise):
        whole = detailed.decode(latent, seen)
        assert whole.shape == voxels.shape and not torch.allclose(whole, plain.decode(latent), atol=1e-2)
        part = None if seen is None else seen[..., 1:2]
        assert torch.allclose(whole[..., 1:2], detailed.decode(latent[..., 1:2], part), atol=1e-5)
    assert not torch.allclose(detailed.decode(latent, noise), detailed.decode(latent, -noise), atol=1e-2)


def test_the_spread_of_detail_is_what_the_linear_part_leaves_out() -> None:
    detailed, voxels = lapped(1, detail=DetailConfig(width=8, blocks=1)), smooth(3)
    detailed.set_spread(voxels)
    assert detailed.detail is not None
    left_out = voxels - detailed.decoder(detailed.encoder(voxels))
    assert float(detailed.detail.spread) == pytest.approx(float(left_out.square().mean().sqrt()), rel=1e-4)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"kind": "maisi"}, "of the kind lapped alone"),
        ({"kind": "lapped", "block": 6}, "power of two .* not 6 and 8"),
        ({"kind": "lapped", "block": 16}, "power of two .* not 16 and 8"),
    ],
    ids=str,
)
def test_a_network_for_detail_that_cannot_be_built_is_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AutoencoderConfig(**keys, detail=DetailConfig(width=8, blocks=1))
