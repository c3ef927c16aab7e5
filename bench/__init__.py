"""Benchmarks of this project; ``python -m bench gateway|start|engine|faults|fleet`` runs one."""
