"""A model on disk: what its folder holds, how it is found, verified and imported."""
