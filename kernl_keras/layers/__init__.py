"""Layers over whole sequences."""
