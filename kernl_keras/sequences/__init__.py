"""Sequences: the one loop over time, masked steps, and a leaky sum with its adjoint."""
