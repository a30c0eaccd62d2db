"""What operations take: online, of correlated randomness, and of rounds of aggregation."""
