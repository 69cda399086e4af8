"""Published networks: what their releases say, and their checkpoints made into models."""
