"""Accuracy against seconds, in this package and in others."""
