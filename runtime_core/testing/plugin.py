"""The pytest plugin behind the ``pytest11`` entry point."""
