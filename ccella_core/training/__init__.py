"""Training: the joint loss, the three trainings that a model needs, and the demonstration model."""
