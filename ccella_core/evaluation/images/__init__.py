"""How good synthetic volumes are as images."""
