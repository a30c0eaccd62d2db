"""Aggregation between machines: a server that runs, clients that come and go, and what they keep on disk."""
