"""Protocols, and the session and array that make them usable from NumPy.
Imports ``mpc``, never the reverse.
"""
