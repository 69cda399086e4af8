"""From a report to volumes in the scene, one by one or by the table."""
