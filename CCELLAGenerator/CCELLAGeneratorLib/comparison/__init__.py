"""A synthetic volume beside a real scan."""
