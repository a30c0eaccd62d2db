"""NumPy's names on secrets: which function is which operation, and what it would be in the clear."""
