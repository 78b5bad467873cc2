"""Callbacks that write down how training goes."""
