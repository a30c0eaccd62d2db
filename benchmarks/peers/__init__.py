"""A driver for each system, run by that system's own Python: ``python -m benchmarks.peers.NAME WORK SIZE
RUNS``.
"""
