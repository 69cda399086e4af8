"""CCELLA: 3-D prostate MRI from a radiology report.

Importing this package is cheap: its names are loaded on first use, and it imports nothing itself, so that a command
meets Ctrl-C as early as can be.
"""

TYPE_CHECKING = False  # the one of `typing`, which takes longer to import than all else here
if TYPE_CHECKING:
    from typing import Any

    from .generation.options import GenerationOptions
    from .generation.pipeline import CCELLAPipeline
    from .imaging.volume import SyntheticVolume

__version__ = "0.1.0"
__all__ = ["CCELLAPipeline", "GenerationOptions", "SyntheticVolume", "__version__"]

_LOADED_ON_FIRST_USE = {
    "CCELLAPipeline": ".generation.pipeline",
    "GenerationOptions": ".generation.options",
    "SyntheticVolume": ".imaging.volume",
}


def __getattr__(name: str) -> "Any":
    if name not in _LOADED_ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_LOADED_ON_FIRST_USE[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
