"""Scans and volumes: reading, writing, which way is left, and pictures of them."""
