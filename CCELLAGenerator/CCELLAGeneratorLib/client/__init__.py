"""The client of the worker process."""
