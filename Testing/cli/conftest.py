"""The models that commands find here: one that is whole and one that is broken."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # ccella_command


@pytest.fixture
def models(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of models holds the tiny one and a broken one, and nothing else is found."""
    broken = tiny_model.parent / "broken" / "denoiser"
    broken.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr("ccella_core.models.search.default_search_paths", lambda: [tiny_model.parent])
    return tiny_model.parent
