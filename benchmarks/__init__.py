"""The comparison with other systems: ``python -m benchmarks.compare`` (see ``docs/benchmarks.md``)."""
