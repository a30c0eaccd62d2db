"""Clients that speak once, and several servers, of which one is honest."""
