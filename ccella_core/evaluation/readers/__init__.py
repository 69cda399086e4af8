"""Reader studies: people who look at synthetic and real volumes and say which is which."""
