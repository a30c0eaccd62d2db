"""Oblivious transfer: a few by public-key cryptography (``base``), millions from those (``extension``)."""
