"""The client between a user interface and this library: a process that speaks one JSON object a line.

``python -m ccella_core.worker`` runs it; ``docs/worker.md`` describes the protocol for whoever writes a client.
"""
