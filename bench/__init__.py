"""Benchmarks of this project; run one with ``python -m bench gateway|start|engine|faults|fleet``."""
