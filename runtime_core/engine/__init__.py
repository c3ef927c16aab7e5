"""The task engine: chains in, run events out."""
