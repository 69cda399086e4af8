"""Evaluation: whether a volume shows what its report says, and how far generated volumes are from real ones."""
