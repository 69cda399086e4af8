"""DICOM files are written as for the tests of imaging."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "imaging"))  # dicom_writing
sys.path.append(str(Path(__file__).parent))  # killed
