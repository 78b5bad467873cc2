"""Callbacks: what a run writes down while it trains."""
