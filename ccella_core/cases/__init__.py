"""Examinations and their reports: read from where they lie, brought into one form, and kept beside each other."""
