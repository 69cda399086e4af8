"""Training: the joint loss, the three trainings that a bundle needs, and the demonstration bundle."""
