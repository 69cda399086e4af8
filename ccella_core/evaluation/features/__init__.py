"""What volumes look like to a network."""
