"""A deterministic, scriptable model that needs nothing."""
