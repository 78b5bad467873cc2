"""Experiments: named, reproducible configurations, and the command line that runs them."""
