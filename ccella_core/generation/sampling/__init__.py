"""From noise to a clean latent: the loop, its schedulers, and what a loop keeps on the way."""
