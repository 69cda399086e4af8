"""DICOM: scans read from it, and synthetic volumes written as it."""
