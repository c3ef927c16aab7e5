"""The one version of every first-party distribution."""

__version__ = "0.1.0"
