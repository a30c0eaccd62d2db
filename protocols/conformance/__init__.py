"""What a sharing scheme has to keep, tested from outside: ``python -m mpc.conformance module:Scheme``."""
