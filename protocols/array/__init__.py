"""What a user holds: a secret array, and the session it lives in."""
