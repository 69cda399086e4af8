"""Where the gland is in a volume, and what is kept around it."""
