"""CCELLA: 3-D prostate MRI from a radiology report."""
