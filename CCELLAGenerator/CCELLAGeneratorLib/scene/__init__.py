"""Volumes of the scene: where they lie, how they are labelled, what made them."""
