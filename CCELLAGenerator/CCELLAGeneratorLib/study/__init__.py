"""A reader study: cases shown one by one under names that say nothing, and what is said of them."""
