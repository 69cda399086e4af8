"""What the tests of the evaluation share lies beside them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # prepared_cases
sys.path.append(str(Path(__file__).parent / "adherence"))  # drawn_glands


@pytest.fixture(scope="module")
def toy_set(tmp_path_factory):
    from toy_cases import toy_prepared
    from toy_classifier import COUNTS

    return toy_prepared(tmp_path_factory.mktemp("toy") / "prepared", COUNTS)


@pytest.fixture(scope="module")
def toy_volumes(tmp_path_factory, toy_set):
    from toy_cases import toy_synthetic

    return toy_synthetic(tmp_path_factory.mktemp("toy") / "synthetic", toy_set)


@pytest.fixture(scope="module")
def toy_run(toy_set, tmp_path_factory):
    """A classifier trained on real cases, with two seeds."""
    from toy_classifier import config_of

    from ccella_core.evaluation.classifier.training import train_classifier

    return train_classifier(config_of(toy_set, tmp_path_factory.mktemp("runs") / "real", seeds=(0, 1)))
