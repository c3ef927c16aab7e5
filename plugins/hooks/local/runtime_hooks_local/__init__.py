"""Hooks that run in the server's own process."""
