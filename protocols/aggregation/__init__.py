"""Secure aggregation: many clients, each with a private vector, and servers that learn the sum and nothing else."""
