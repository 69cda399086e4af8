"""Spectra and the judge on sets whose look is known."""

from __future__ import annotations

import numpy as np
import pytest

from ccella_core.evaluation.data.volume_set import VolumeRecord, VolumeSet
from ccella_core.evaluation.images.appearance import MOST_BANDS, appearance_of, spectrum_of

pytest.importorskip("sklearn")
SHAPE = (64, 64, 3)


def volumes(name: str, count: int, *, blur: float = 0.0, first: int = 0) -> VolumeSet:
    """Noise with the spectrum of tissue, and what ``blur`` (0 … 1, of what is finer than five voxels) takes away."""
    records = []
    for number in range(count):
        rng = np.random.default_rng(first + number)
        wave = np.hypot(np.fft.fftfreq(SHAPE[0])[:, None], np.fft.fftfreq(SHAPE[1])[None])[..., None]
        spectrum = np.fft.fft2(rng.standard_normal(SHAPE), axes=(0, 1)) / (0.05 + wave)
        blurred = spectrum * np.where(wave > 0.2, 1 - blur, 1.0)
        sharp, image = (np.fft.ifft2(each, axes=(0, 1)).real for each in (spectrum, blurred))
        voxels = (0.5 + 0.1 * image / sharp.std()).clip(0, 1).astype(np.float32)
        records.append(
            VolumeRecord(
                id=f"{name}{number}",
                case=f"{name}{number}",
                patient=f"{name}{number}",
                split=None,
                pathology=None,
                predicted=None,
                predicted_positive_probability=None,
                seed=None,
                read=lambda v=voxels: v,  # type: ignore[misc]
            )
        )
    return VolumeSet(name, records, SHAPE, (0.75, 0.75, 3.0))


def test_a_wave_falls_into_its_band() -> None:
    x = np.arange(64)
    voxels = np.broadcast_to(np.sin(2 * np.pi * 0.3 * x)[:, None, None], (64, 64, 2))
    assert abs(int(np.argmax(spectrum_of(voxels))) - (round(0.3 / 0.5 * MOST_BANDS) - 1)) <= 1
    assert np.allclose(spectrum_of(voxels + 0.4), spectrum_of(voxels))


def test_white_noise_has_the_same_power_everywhere() -> None:
    spectrum = spectrum_of(np.random.default_rng(0).standard_normal((64, 64, 16)))
    assert np.allclose(spectrum, 1, atol=0.3) and np.allclose(spectrum[MOST_BANDS // 2 :], 1, atol=0.1)


def test_sets_of_one_kind_look_the_same() -> None:
    found = appearance_of(volumes("a", 16), volumes("b", 16, first=100))
    assert found.synthetic.fine_detail.value == pytest.approx(1, abs=0.05)
    assert found.synthetic.spectrum.value is not None and found.synthetic.spectrum.value < 0.05
    assert found.synthetic.judge is not None and found.synthetic.judge.value is not None
    assert 0.2 < found.synthetic.judge.value < 0.8
    assert found.halves is not None and found.halves.judge is not None


@pytest.mark.parametrize("blur", [0.5, 0.9])
def test_a_blur_is_measured(blur: float) -> None:
    found = appearance_of(volumes("a", 12, blur=blur), volumes("b", 12, first=100)).synthetic
    assert found.fine_detail.value == pytest.approx((1 - blur) ** 2, rel=0.2)
    assert found.fine_detail.low is not None and found.fine_detail.high is not None
    assert found.fine_detail.low < (1 - blur) ** 2 * 1.1 and found.fine_detail.high < 0.5
    assert found.spectrum_largest == pytest.approx(-2 * np.log10(1 - blur), abs=0.15)
    assert found.judge is not None and found.judge.value == pytest.approx(1, abs=0.02)


def test_few_patients_are_not_judged_and_one_has_no_halves() -> None:
    found = appearance_of(volumes("a", 4), volumes("b", 1))
    assert found.synthetic.judge is None and found.halves is None


def test_it_does_not_depend_on_the_order() -> None:
    one, other = volumes("a", 9), volumes("b", 9, first=50)
    back = VolumeSet("b", other.members[::-1], other.shape, other.spacing)
    first, second = (appearance_of(one, each).synthetic.fine_detail for each in (other, back))
    assert (first.value, first.low, first.high) == pytest.approx((second.value, second.low, second.high))
