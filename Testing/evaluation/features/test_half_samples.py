"""Standard errors from half samples, against a closed form."""

import numpy as np
import pytest

from ccella_core.errors import InputError
from ccella_core.evaluation.features.samples import Sample, standard_errors
from ccella_core.evaluation.images.distances import frechet_distance


def difference_of_means(a: Sample, b: Sample) -> dict[str, float]:
    return {"difference": float(a.rows.mean() - b.rows.mean())}


def test_of_a_difference_of_means_as_the_textbook_has_it() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 2, (400, 1)), rng.normal(1, 3, (900, 1))
    found = standard_errors(difference_of_means, Sample.of(a), Sample.of(b), halves=2000)["difference"]
    assert found == pytest.approx(np.sqrt(a.var(ddof=1) / 400 + b.var(ddof=1) / 900), rel=0.05)


def test_rows_of_a_volume_stay_together() -> None:
    rng = np.random.default_rng(0)
    volumes = rng.normal(0, 1, (100, 1, 1))
    slices = np.repeat(volumes, 8, axis=1).reshape(-1, 1)  # all slices of a volume are alike: no more is known
    patients = [str(number) for number in range(100)]
    samples = (
        Sample.of(volumes[:, 0], patients),
        Sample.of(slices, patients),
        Sample.of(slices, np.repeat(patients, 8).tolist()),  # examinations of a patient, as well as slices
    )
    alone, *together = (standard_errors(difference_of_means, each, each, halves=500)["difference"] for each in samples)
    assert together == pytest.approx([alone, alone])


def test_of_a_frechet_distance_as_new_sets_have_it() -> None:
    """What sets drawn anew differ by is what the halves of one of them tell."""
    rng = np.random.default_rng(0)
    anew = [frechet_distance(rng.normal(0, 1, (200, 3)), rng.normal(1, 1, (200, 3))) for _ in range(200)]
    a, b = rng.normal(0, 1, (200, 3)), rng.normal(1, 1, (200, 3))

    def frechet(one: Sample, other: Sample) -> dict[str, float]:
        return {"frechet": frechet_distance(one.rows, other.rows)}

    found = standard_errors(frechet, Sample.of(a), Sample.of(b), halves=200)["frechet"]
    assert found == pytest.approx(np.std(anew), rel=0.25)


def test_too_few_are_refused() -> None:
    with pytest.raises(InputError, match="needs 4 patients in each set, not 3, 9"):
        standard_errors(difference_of_means, Sample.of(np.zeros((3, 1))), Sample.of(np.zeros((9, 1))))
