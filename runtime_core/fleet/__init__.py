"""Backends, the models they hold, and which of them answers."""
