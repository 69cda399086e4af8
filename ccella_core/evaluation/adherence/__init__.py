"""Whether a generated volume shows what its report says."""
