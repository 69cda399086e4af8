"""Helpers of other folders' tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # broken
sys.path.append(str(Path(__file__).parents[1] / "evaluation"))  # prepared_cases
sys.path.append(str(Path(__file__).parents[1] / "training"))  # latent_cases
