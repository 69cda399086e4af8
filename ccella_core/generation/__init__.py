"""From a report to volumes: the pipeline, its options and its parts."""
