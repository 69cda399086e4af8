"""Stands in for the package lavlab-taps where that is not installed: it answers, and refuses, as that does.

Its network is a threshold; everything around it is as strict as the real one's: files alone, NIfTI names, another name
for an odd mask unless `exact`, and an error for an empty one.
"""

from . import inference
from .inference import segment

__all__ = ["__version__", "inference", "segment"]
__version__ = "1.1.2"
