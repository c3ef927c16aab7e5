"""The built-in task handlers, one file a family."""
