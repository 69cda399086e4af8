"""The study: variants trained alike, what each of them makes, and what that is worth, on one page."""
