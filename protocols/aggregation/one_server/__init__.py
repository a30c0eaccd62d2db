"""Clients and one server, which learns the sum of their vectors."""
