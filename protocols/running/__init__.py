"""A program's run: all parties in one process, or one of them with its peers."""
