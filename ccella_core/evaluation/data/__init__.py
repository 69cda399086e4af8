"""Sets of volumes: real and synthetic ones, and how synthetic ones are made."""
