"""Whether training cases were copied."""
