"""The patient is the same for the same seed, and the images show what the findings say."""

import numpy as np
import pytest

from ccella_core.phantom.anatomy import GLAND_TISSUES, Tissue
from ccella_core.phantom.patient import draw_patient
from ccella_core.phantom.render import render

GOLDEN_MEANS = (0.57987, 0.10679, 629.62860)  # t2w, hbv, adc of patient 2
PATIENTS = [draw_patient(seed) for seed in range(200)]
POSITIVES = [patient for patient in PATIENTS if patient.findings.lesions]


def test_same_seed_same_patient_whatever_the_grid():
    first, second = draw_patient(5), draw_patient(5)
    assert first.findings == second.findings
    render(first, "adc", shape=(32, 32, 8), spacing=(3, 3, 6))
    assert np.array_equal(render(first, "t2w").voxels, render(second, "t2w").voxels)


def test_cohort_resembles_a_clinic():
    volumes = np.array([patient.findings.gland_volume_ml for patient in PATIENTS])
    lesions = [lesion for patient in POSITIVES for lesion in patient.findings.lesions]
    assert 80 <= len(POSITIVES) <= 120
    assert 38 <= np.median(volumes) <= 52
    assert volumes.min() >= 20 and volumes.max() <= 120
    assert 0.6 <= np.mean([lesion.zone == "peripheral" for lesion in lesions]) <= 0.8
    assert 0.4 <= np.mean([lesion.side == "left" for lesion in lesions]) <= 0.6
    assert {lesion.level for lesion in lesions} == {"base", "mid", "apex"}


def test_asked_for_pathology_is_given():
    for pathology in ("negative", "positive"):
        assert all(draw_patient(seed, pathology=pathology).findings.pathology == pathology for seed in range(20))


@pytest.mark.parametrize("seed", range(12))
def test_gland_volume_is_the_reported_one(seed):
    patient = PATIENTS[seed]
    labels = render(patient, "t2w").labels
    volume_ml = np.isin(labels, GLAND_TISSUES).sum() * 3 / 1000
    assert volume_ml == pytest.approx(patient.findings.gland_volume_ml, rel=0.08)


@pytest.mark.medium
@pytest.mark.parametrize("patient", POSITIVES[:15], ids=lambda patient: str(patient.seed))
def test_lesion_lies_on_its_side_and_is_dark(patient):
    t2w, adc = render(patient, "t2w"), render(patient, "adc")
    x = (np.arange(96) - 47.5 - patient.gland_centre[0])[:, None, None] * np.ones(t2w.labels.shape)
    lesion = t2w.labels == Tissue.LESION
    for focus in patient.foci:
        right = focus.lesion.side == "right"
        here = lesion & ((x > 0) == right)
        assert here.sum() * 3 > 100  # mm3: a few voxels at the very least
        assert abs(x[here].mean()) >= 7
        peripheral = t2w.labels == Tissue.PERIPHERAL_ZONE
        assert t2w.voxels[here].mean() < 0.6 * t2w.voxels[peripheral].mean()
        assert adc.voxels[here].mean() < 0.8 * adc.voxels[peripheral].mean()
    expected = {focus.lesion.side == "right" for focus in patient.foci}
    assert {bool(side) for side in np.unique(x[lesion] > 0)} <= expected


@pytest.mark.medium
def test_every_tissue_is_painted():
    seen = set()
    for patient in PATIENTS[:25]:
        seen |= set(np.unique(render(patient, "t2w").labels).tolist())
    assert seen == {int(tissue) for tissue in Tissue}


def test_signals_are_in_the_expected_order():
    rendering = render(PATIENTS[1], "t2w")

    def mean(tissue):
        return rendering.voxels[rendering.labels == tissue].mean()

    assert mean(Tissue.GAS) < mean(Tissue.MUSCLE) < mean(Tissue.TRANSITION_ZONE) < mean(Tissue.FAT) < mean(Tissue.URINE)
    assert mean(Tissue.TRANSITION_ZONE) < mean(Tissue.PERIPHERAL_ZONE)


def test_geometry_and_ranges():
    rendering = render(PATIENTS[0], "t2w", shape=(40, 50, 12), spacing=(2.0, 1.5, 6.0))
    assert rendering.voxels.shape == rendering.labels.shape == (40, 50, 12)
    assert np.allclose(np.diag(rendering.affine), (2.0, 1.5, 6.0, 1.0))
    assert np.allclose(rendering.affine @ [19.5, 24.5, 5.5, 1], [0, 0, 0, 1])
    for sequence, top in (("t2w", 1), ("hbv", 1), ("adc", 3000)):
        voxels = render(PATIENTS[0], sequence).voxels
        assert voxels.dtype == np.float32 and voxels.min() >= 0 and voxels.max() <= top


def test_golden_means():
    means = [float(render(PATIENTS[2], sequence).voxels.mean()) for sequence in ("t2w", "hbv", "adc")]
    assert means == pytest.approx(GOLDEN_MEANS, rel=1e-3)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="sequence"):
        render(PATIENTS[0], "t1w")
    with pytest.raises(ValueError, match="spacing"):
        render(PATIENTS[0], "t2w", spacing=(1, 0, 3))
    with pytest.raises(ValueError, match="shape"):
        render(PATIENTS[0], "t2w", shape=(96, 96, 0))
    with pytest.raises(ValueError, match="pathology"):
        draw_patient(0, pathology="unsure")
    with pytest.raises(ValueError, match="seed"):
        draw_patient(-1)
