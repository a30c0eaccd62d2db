"""Front doors for other people's frameworks; each imports its own only when it is itself imported."""
