"""How long a test waits for another process or an event before it says that nothing will come."""

from __future__ import annotations

import os

PATIENCE_SECONDS = float(os.environ.get("TEST_PATIENCE_SECONDS", "600"))
"""Far above what anything takes on a machine that is busy with other things; set it lower while a test is mended."""
