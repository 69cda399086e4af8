"""Values with intervals, scores of a class, and tests of differences."""
