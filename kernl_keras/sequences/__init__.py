"""Sequences: the loop over time, masks and resets, and a leaky sum with its adjoint."""
